//! GPUs: what is taken of them, what is remembered of that, and which one an instance means.

use std::collections::BTreeMap;

use super::fake::FakeGpu;
use super::*;
use crate::event::EventKind;
use crate::hardware::Device;
use crate::instance::spec::Backend;
use crate::scheduler::need;
use crate::scheduler::policy::MemoryPool;

const MIB: u64 = 1 << 20;
const GPU: MemoryPool = MemoryPool::Device(0);

fn budget(orchestrator: &Orchestrator) -> BTreeMap<MemoryPool, u64> {
    orchestrator.scheduling().budget.memory
}

/// Waits until something is so.
async fn until(mut is_so: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waiting).await.unwrap();
}

#[tokio::test]
async fn what_a_loaded_model_holds_of_a_gpu_is_measured_and_remembered() {
    let home = Home::new();
    home.instance("a", "good", "gpu: {backend: cuda}");
    let gpu = FakeGpu::new(8192 * MIB);
    let orchestrator = home.builder().hardware(gpu.clone()).open().await.unwrap();
    let pid = up(&orchestrator, "a").await.pid.unwrap();
    gpu.hold(pid, 3000 * MIB);
    gpu.hold(1, 100 * MIB);
    let services = &orchestrator.inner.services;
    let spec = orchestrator.read_spec(&name("a")).unwrap();
    let model = orchestrator.model_info(&spec.model.reference).await.unwrap();
    until(async || need::need_of(services, &spec, &model).await.of(GPU) == 3000 * MIB).await;
    assert!(need::need_of(services, &spec, &model).await.of(MemoryPool::Host) > 0, "the machine's memory is measured with it");
    // Another GPU is another measurement.
    let mut elsewhere = (*spec).clone();
    elsewhere.gpu.device_id = Some(1);
    assert_eq!(need::need_of(services, &elsewhere, &model).await.of(GPU), 0);
    orchestrator.down(&name("a")).await.unwrap();
    up(&orchestrator, "a").await;
    let view = orchestrator.scheduling().instances.remove(0).1;
    assert_eq!(view.memory.of(GPU), 3000 * MIB);
    orchestrator.shutdown(ShutdownMode::StopAll).await;
}

#[tokio::test]
async fn what_a_loading_model_has_taken_of_a_gpu_is_not_held_against_the_next_one() {
    let home = Home::new();
    let more = "gpu: {backend: cuda}\nmemory: {host_mb: 1, device_mb: 3500}";
    home.instance("a", "never", more);
    home.instance("b", "good", more);
    home.instance("c", "good", "gpu: {backend: cuda}\nmemory: {host_mb: 1, device_mb: 10}");
    let gpu = FakeGpu::new(8192 * MIB);
    let orchestrator = home.builder().hardware(gpu.clone()).open().await.unwrap();
    up(&orchestrator, "c").await;
    orchestrator.up(&name("a")).await.unwrap();
    let state = wait_state(&orchestrator, "a", |state| matches!(state, InstanceState::Loading { .. })).await;
    let InstanceState::Loading { server, .. } = state else { panic!("{state:?}") };
    gpu.hold(server.identity.pid().unwrap(), 3500 * MIB);
    // What was seen before that says nothing any more: the machine is looked at anew.
    orchestrator.down(&name("c")).await.unwrap();
    up(&orchestrator, "b").await;
    let events = orchestrator.last_events(100).await.unwrap();
    let warnings: Vec<_> = events.iter().filter(|event| event.kind == EventKind::Warning).collect();
    assert!(warnings.is_empty(), "there is room on the machine, and it is seen: {warnings:?}");
    orchestrator.shutdown(ShutdownMode::StopAll).await;
}

#[tokio::test]
async fn gpus_of_two_kinds_have_a_budget_each() {
    let home = Home::new();
    // The processor's own GPU has the number 0 as well, and is small.
    let own = Device::new(Backend::Rocm, 0, "of the processor", 512 * MIB);
    home.instance("a", "good", "gpu: {backend: cuda}\nmemory: {host_mb: 1, device_mb: 6000}");
    home.instance("b", "good", "gpu: {backend: rocm}\nmemory: {host_mb: 1, device_mb: 100}");
    let orchestrator = home.builder().hardware(FakeGpu::beside(8192 * MIB, vec![own])).open().await.unwrap();
    let part = |mib: u64| mib * MIB / 100 * 95;
    assert_eq!(budget(&orchestrator), BTreeMap::from([(GPU, part(8192)), (MemoryPool::Device(1), part(512))]));
    up(&orchestrator, "a").await;
    up(&orchestrator, "b").await;
    let needs = orchestrator.scheduling().instances.into_iter().map(|(name, view)| (name.to_string(), view.memory_mb()));
    let needs: BTreeMap<_, _> = needs.collect();
    assert_eq!((needs["a"].get("gpu0"), needs["b"].get("gpu1")), (Some(&6000), Some(&100)), "{needs:?}");
    orchestrator.shutdown(ShutdownMode::StopAll).await;
}

#[tokio::test]
async fn a_gpu_whose_driver_answers_late_is_taken_into_the_budget_and_stays_in_it() {
    let home = Home::new();
    let gpu = FakeGpu::new(8192 * MIB);
    gpu.set_late(true);
    let orchestrator = home.builder().hardware(gpu.clone()).open().await.unwrap();
    assert!(budget(&orchestrator).is_empty());
    gpu.set_late(false);
    orchestrator.memory().refresh().await.unwrap();
    until(async || budget(&orchestrator).contains_key(&GPU)).await;
    gpu.set_late(true);
    orchestrator.memory().refresh().await.unwrap();
    orchestrator.memory().refresh().await.unwrap();
    assert!(budget(&orchestrator).contains_key(&GPU), "it is not free because it is silent");
    orchestrator.shutdown(ShutdownMode::StopAll).await;
}
