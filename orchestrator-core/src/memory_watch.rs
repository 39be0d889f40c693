//! [`MemoryWatch`]: one task that looks at the machine's memory every few seconds, or at once when it is asked to, and
//! publishes what it saw. Above a limit it warns, once, until the memory is well below it again.
//!
//! Owns the last reading and the warnings that stand. What is done about a full machine is not its business.

mod alarm;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use crate::event::{EventDraft, EventKind, Timestamp};
use crate::event_log::EventLog;
use crate::hardware::{Device, DeviceUse, HardwareProbe};
use crate::instance::spec::Backend;
use alarm::MemoryAlarm;

/// The time between two looks.
const INTERVAL: Duration = Duration::from_secs(5);
/// How long one look may take; a driver of a GPU can hang.
const LONGEST_LOOK: Duration = Duration::from_secs(5);
/// How many may wait for a look at once; more wait for their turn to ask.
const QUEUE: usize = 64;

/// The machine's memory at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachineMemory {
    /// When it was looked at.
    pub at: Timestamp,
    /// The memory of the machine (or of our container), in bytes; 0 when it cannot be told.
    pub total_bytes: u64,
    /// The memory that a new program could take, in bytes.
    pub available_bytes: u64,
    /// The GPUs with their memory.
    pub devices: Vec<Device>,
    /// Which process holds how much memory of which GPU, where that is told.
    pub uses: Vec<DeviceUse>,
}

impl MachineMemory {
    /// Returns the GPU memory that these processes hold together, in bytes; `None` when no GPU tells of any of them.
    #[must_use]
    pub fn device_bytes_of(&self, pids: &[u32]) -> Option<u64> {
        held_by(&self.uses, pids).into_values().reduce(u64::saturating_add)
    }
}

/// Returns what these processes hold together of each GPU that tells of them, in bytes by its kind and number.
#[must_use]
pub(crate) fn held_by(uses: &[DeviceUse], pids: &[u32]) -> BTreeMap<(Backend, u32), u64> {
    let mut held: BTreeMap<(Backend, u32), u64> = BTreeMap::new();
    for seen in uses.iter().filter(|seen| pids.contains(&seen.pid)) {
        let total = held.entry((seen.backend, seen.index)).or_default();
        *total = total.saturating_add(seen.memory_bytes);
    }
    held
}

/// Something that a person should know for as long as it is so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StandingWarning {
    /// Since when.
    pub since: Timestamp,
    /// What, in one line.
    pub message: String,
}

/// Everybody's end of the task. Cheap to clone.
#[derive(Debug, Clone)]
pub struct MemoryWatch {
    requests: mpsc::Sender<oneshot::Sender<Arc<MachineMemory>>>,
    reading: watch::Receiver<Option<Arc<MachineMemory>>>,
    warnings: watch::Receiver<Vec<StandingWarning>>,
}

impl MemoryWatch {
    /// Starts the task. It warns above `warning_percent`, never when that is 0, and ends with `token`.
    pub(crate) fn start(
        probe: Arc<dyn HardwareProbe>,
        events: EventLog,
        warning_percent: u8,
        tracker: &TaskTracker,
        token: CancellationToken,
    ) -> Self {
        let (requests, inbox) = mpsc::channel(QUEUE);
        let (reading_publisher, reading) = watch::channel(None);
        let (warning_publisher, warnings) = watch::channel(Vec::new());
        let alarm = MemoryAlarm::new(warning_percent);
        let task = WatchTask { probe, events, alarm, inbox, reading: reading_publisher, warnings: warning_publisher };
        tracker.spawn(task.run(token).instrument(tracing::info_span!("memory_watch")));
        Self { requests, reading, warnings }
    }

    /// Returns the last reading, a few seconds old at most; `None` before the first one.
    #[must_use]
    pub fn latest(&self) -> Option<Arc<MachineMemory>> {
        self.reading.borrow().clone()
    }

    /// Watches the readings.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Option<Arc<MachineMemory>>> {
        self.reading.clone()
    }

    /// Looks at the machine now: the reading was begun after this call. The last one, when the machine does not tell in
    /// time or the task has ended.
    pub async fn refresh(&self) -> Option<Arc<MachineMemory>> {
        let (answer, fresh) = oneshot::channel();
        if self.requests.send(answer).await.is_ok()
            && let Ok(reading) = fresh.await
        {
            return Some(reading);
        }
        self.latest()
    }

    /// Returns the warnings that stand.
    #[must_use]
    pub fn warnings(&self) -> Vec<StandingWarning> {
        self.warnings.borrow().clone()
    }
}

struct WatchTask {
    probe: Arc<dyn HardwareProbe>,
    events: EventLog,
    alarm: MemoryAlarm,
    inbox: mpsc::Receiver<oneshot::Sender<Arc<MachineMemory>>>,
    reading: watch::Sender<Option<Arc<MachineMemory>>>,
    warnings: watch::Sender<Vec<StandingWarning>>,
}

impl WatchTask {
    async fn run(mut self, token: CancellationToken) {
        let mut interval = tokio::time::interval(INTERVAL);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut asking = Vec::new();
        loop {
            // Cancel-safe: `recv_many` takes nothing when it loses, the others hold nothing.
            tokio::select! {
                biased;
                () = token.cancelled() => return,
                count = self.inbox.recv_many(&mut asking, QUEUE) => if count == 0 { return },
                _ = interval.tick() => {}
            }
            tokio::select! {
                biased;
                () = token.cancelled() => return,
                looked = tokio::time::timeout(LONGEST_LOOK, look(self.probe.as_ref())) => {
                    if let Ok(memory) = looked {
                        self.publish(memory, &mut asking);
                    } else {
                        tracing::warn!("the machine's memory could not be looked at within {} s", LONGEST_LOOK.as_secs());
                        asking.clear();
                    }
                }
            }
        }
    }

    fn publish(&mut self, memory: MachineMemory, asking: &mut Vec<oneshot::Sender<Arc<MachineMemory>>>) {
        for change in self.alarm.note(&memory) {
            self.events.record(EventDraft::new(EventKind::Warning, change.message).with_data(change.data));
        }
        let standing = self.alarm.standing();
        self.warnings.send_if_modified(|warnings| {
            let is_new = *warnings != standing;
            *warnings = standing;
            is_new
        });
        let memory = Arc::new(memory);
        self.reading.send_replace(Some(memory.clone()));
        for answer in asking.drain(..) {
            // Whoever asked may be gone.
            let _ = answer.send(memory.clone());
        }
    }
}

async fn look(probe: &dyn HardwareProbe) -> MachineMemory {
    let at = Timestamp::now();
    let hardware = probe.probe().await;
    let uses = if hardware.devices.is_empty() { Vec::new() } else { probe.device_uses().await };
    let (total_bytes, available_bytes) = (hardware.memory_total_bytes, hardware.memory_available_bytes);
    MachineMemory { at, total_bytes, available_bytes, devices: hardware.devices, uses }
}

#[cfg(test)]
mod tests;
