//! Performs what the scheduler wants done: starts and unloads instances, looks at the machine's memory, keeps time.

use std::collections::BTreeMap;

use tokio::sync::mpsc;

use super::Orchestrator;
use crate::hardware::{Device, Hardware, place_of};
use crate::instance::InstanceSpec;
use crate::instance::driver::{Adopted, Caller, Command, InstanceHandle};
use crate::memory_watch::{MachineMemory, held_by};
use crate::names::InstanceName;
use crate::scheduler::policy::{Budget, Counters, Eviction, MemberId, MemberView, MemoryNeed, MemoryPool, Reading};
use crate::scheduler::{Order, need};

impl Orchestrator {
    /// Sets the budget for this machine, and begins to perform orders.
    pub(super) async fn begin_scheduling(&self, mut orders: mpsc::UnboundedReceiver<Order>) {
        let services = &self.inner.services;
        services.scheduler.configure(&services.config.limits, &services.hardware.probe().await);
        let (scheduler, shutdown) = (services.scheduler.clone(), services.shutdown.clone());
        services.tasks.spawn(async move { shutdown.run_until_cancelled(scheduler.keep_time()).await });
        let (watcher, shutdown) = (self.clone(), services.shutdown.clone());
        services.tasks.spawn(async move { shutdown.run_until_cancelled(watcher.watch_devices()).await });
        let (performer, shutdown) = (self.clone(), services.shutdown.clone());
        services.tasks.spawn(async move {
            while let Some(Some(order)) = shutdown.run_until_cancelled(orders.recv()).await {
                performer.perform(order).await;
            }
        });
    }

    /// Returns how requests and memory are shared at this moment.
    #[must_use]
    pub fn scheduling(&self) -> SchedulingView {
        let scheduler = &self.inner.services.scheduler;
        let handles = self.inner.fleet.handles().into_iter();
        let instances = handles.filter_map(|(name, handle)| Some((name, scheduler.view(handle.member)?)));
        SchedulingView { counters: scheduler.counters(), budget: scheduler.budget(), instances: instances.collect() }
    }

    async fn perform(&self, order: Order) {
        match order {
            Order::Summon(member) => self.summon(member).await,
            Order::Unload(member, why) => self.unload(member, why).await,
            Order::Look => self.look().await,
        }
    }

    async fn summon(&self, member: MemberId) {
        let services = &self.inner.services;
        let Some(name) = services.scheduler.name(member) else { return };
        let outcome = match self.read_spec(&name) {
            Ok(spec) => {
                let handle = self.inner.fleet.handle_or_begin(services, &spec);
                self.send_up(&handle, spec, Caller::Requests).await
            }
            Err(problem) => Err(problem),
        };
        match outcome {
            Ok(()) => services.scheduler.note_startable(member),
            Err(problem) => services.scheduler.note_unstartable(member, problem),
        }
    }

    async fn unload(&self, member: MemberId, why: Eviction) {
        let Some(handle) = self.handle_of(member) else { return };
        if let Eviction::Room { newcomer } = why {
            let newcomer = self.inner.services.scheduler.name(newcomer);
            tracing::info!(instance = %handle.snapshot.borrow().spec.name, newcomer = newcomer.map(tracing::field::display), "unloaded to make room");
        }
        // It fails only when the daemon goes.
        let _ = handle.send(Command::Unload(why)).await;
    }

    fn handle_of(&self, member: MemberId) -> Option<InstanceHandle> {
        let name = self.inner.services.scheduler.name(member)?;
        self.inner.fleet.handle(&name).filter(|handle| handle.member == member)
    }

    /// Looks what memory is free, and what those that are loading have taken of theirs.
    async fn look(&self) {
        let services = &self.inner.services;
        let scheduler = &services.scheduler;
        let at = scheduler.now();
        let devices = scheduler.devices();
        let mut taken = BTreeMap::new();
        let mut processes = Vec::new();
        for member in scheduler.loading() {
            let Some(workload) = self.handle_of(member).and_then(|handle| handle.workload.borrow().clone()) else { continue };
            if let Some(bytes) = workload.memory_bytes().await {
                taken.insert(member, MemoryNeed::host(bytes));
            }
            if !devices.is_empty() {
                processes.push((member, workload.process_ids().await));
            }
        }
        if !processes.is_empty() {
            let uses = services.hardware.device_uses().await;
            for (member, pids) in processes {
                for ((backend, index), bytes) in held_by(&uses, &pids) {
                    let pool = MemoryPool::Device(place_of(&devices, backend, index));
                    taken.entry(member).or_insert_with(MemoryNeed::default).0.insert(pool, bytes);
                }
            }
        }
        let free = free_memory(&services.hardware.probe().await, &devices);
        scheduler.read(Reading { at, free, taken });
    }

    /// Takes GPUs into the budget that are seen later than the daemon began: a driver was slow, or was installed since.
    /// Those that are not seen any more stay in it: a driver that hangs frees nothing.
    async fn watch_devices(self) {
        let services = &self.inner.services;
        let mut readings = services.memory.subscribe();
        while readings.changed().await.is_ok() {
            let Some(memory) = readings.borrow_and_update().clone() else { continue };
            let MachineMemory { total_bytes, devices, .. } = &*memory;
            let known = services.scheduler.devices();
            let has = |list: &[Device], wanted: &Device| list.iter().any(|device| device.short_name() == wanted.short_name());
            if devices.len() > known.len() && known.iter().all(|device| has(devices, device)) {
                let hardware = Hardware { memory_total_bytes: *total_bytes, devices: devices.clone(), ..Hardware::default() };
                services.scheduler.configure(&services.scheduler.limits(), &hardware);
            }
        }
    }

    /// Returns what a server holds that was taken over: what it uses, or was known to need.
    pub(super) async fn held_by(&self, spec: &InstanceSpec, adopted: &Adopted) -> MemoryNeed {
        let mut held = match self.inner.services.resolve_model(&spec.model.reference).await {
            Ok(model) => need::need_of(&self.inner.services, spec, &model).await,
            Err(_) => MemoryNeed::default(),
        };
        if held.of(MemoryPool::Host) == 0
            && let Some(bytes) = adopted.workload.memory_bytes().await
        {
            held.0.insert(MemoryPool::Host, bytes);
        }
        held
    }
}

/// How requests and memory are shared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchedulingView {
    /// What was counted since the daemon began.
    pub counters: Counters,
    /// What instances may hold together.
    pub budget: Budget,
    /// The instances that were ever wanted.
    pub instances: Vec<(InstanceName, MemberView)>,
}

/// `known` are the GPUs by their places.
fn free_memory(hardware: &Hardware, known: &[Device]) -> BTreeMap<MemoryPool, u64> {
    let host = Some((MemoryPool::Host, hardware.memory_available_bytes)).filter(|(_, bytes)| *bytes > 0);
    let place = |device: &Device| MemoryPool::Device(place_of(known, device.backend, device.index));
    let devices = hardware.devices.iter().filter_map(|device| Some((place(device), device.memory_free_bytes?)));
    host.into_iter().chain(devices).collect()
}
