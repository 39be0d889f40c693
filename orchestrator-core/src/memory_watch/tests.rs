//! The task with a machine that can be filled.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;

use super::*;
use crate::hardware::Hardware;
use crate::instance::spec::Backend;
use crate::store::{SqliteStore, StateStore};

/// A machine with a hundred bytes, of which this many are free.
struct Machine(AtomicU64);

#[async_trait]
impl HardwareProbe for Machine {
    async fn probe(&self) -> Hardware {
        let available = self.0.load(Ordering::SeqCst);
        Hardware { cpu_count: 1, memory_total_bytes: 100, memory_available_bytes: available, ..Hardware::default() }
    }
}

#[tokio::test]
async fn a_fresh_reading_is_had_at_once_and_its_warning_stands_until_it_is_over() {
    let folder = tempfile::tempdir().unwrap();
    let store: Arc<dyn StateStore> = Arc::new(SqliteStore::open(&folder.path().join("db")).unwrap().0);
    let (tracker, token) = (TaskTracker::new(), CancellationToken::new());
    let events = EventLog::start(store.clone(), &tracker, token.clone());
    let machine = Arc::new(Machine(AtomicU64::new(50)));
    let watch = MemoryWatch::start(machine.clone(), events.clone(), 85, &tracker, token.clone());
    assert_eq!(watch.refresh().await.unwrap().available_bytes, 50);
    assert!(watch.warnings().is_empty());
    for (available, standing) in [(10, 1), (16, 1), (5, 1), (60, 0)] {
        machine.0.store(available, Ordering::SeqCst);
        assert_eq!(watch.refresh().await.unwrap().available_bytes, available);
        assert_eq!(watch.warnings().len(), standing, "{available}");
        assert_eq!(watch.latest().unwrap().available_bytes, available);
    }
    events.flush().await;
    let recorded = store.last_events(None, 10).await.unwrap();
    let kinds: Vec<_> = recorded.iter().map(|event| (event.kind, event.data["above"].as_bool().unwrap())).collect();
    assert_eq!(kinds, [(EventKind::Warning, true), (EventKind::Warning, false)]);
    token.cancel();
    tracker.close();
    tracker.wait().await;
    assert_eq!(watch.refresh().await.unwrap().available_bytes, 60, "the last one is left");
}

#[test]
fn the_memory_of_a_tree_is_the_sum_over_devices_and_processes() {
    let held = |index, pid, memory_bytes| DeviceUse { backend: Backend::Cuda, index, pid, memory_bytes };
    let uses = vec![held(0, 7, 10), held(1, 7, 5), held(0, 8, 100), held(0, 9, 1)];
    let memory = MachineMemory { at: Timestamp::now(), total_bytes: 0, available_bytes: 0, devices: Vec::new(), uses };
    assert_eq!(memory.device_bytes_of(&[7, 9, 1_000]), Some(16));
    assert_eq!(memory.device_bytes_of(&[1_000]), None);
}
