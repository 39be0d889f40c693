//! Keeps the logs of one instance small, before each start and while its server runs.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use super::Driver;
use crate::instance::InstanceSpec;
use crate::launcher::OutputFiles;
use crate::orchestrator::Services;
use crate::process::output;

/// The shortest time between two looks at the logs of a running server.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);

/// Rotates the logs of one instance, one rotation at a time.
#[derive(Debug, Clone)]
pub(super) struct LogKeeper {
    turn: Arc<Mutex<()>>,
    /// When a running server's logs are looked at next.
    due: Instant,
}

impl LogKeeper {
    pub(super) fn new() -> Self {
        Self { turn: Arc::default(), due: Instant::now() }
    }

    /// Rotates logs that have grown too large; returns where the new server's part of the error log begins.
    pub(super) async fn rotate_for_start(&self, services: &Services, spec: &InstanceSpec) -> u64 {
        let (turn, rotation) = (self.turn.clone(), Rotation::of(services, spec));
        let begin = tokio::task::spawn_blocking(move || {
            let _turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
            rotation.perform();
            rotation.files.stderr.and_then(|path| std::fs::metadata(path).ok()).map_or(0, |metadata| metadata.len())
        });
        begin.await.unwrap_or(0)
    }

    /// Rotates logs that have grown too large, off the runtime, unless that is being done or was just looked at.
    fn rotate_while_running(&mut self, services: &Services, spec: &InstanceSpec) {
        if Instant::now() < self.due {
            return;
        }
        self.due = Instant::now() + SHORTEST_INTERVAL;
        let (turn, rotation) = (self.turn.clone(), Rotation::of(services, spec));
        services.tasks.spawn_blocking(move || {
            let _turn = match turn.try_lock() {
                Ok(turn) => turn,
                Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => return,
            };
            rotation.perform();
        });
    }
}

impl Driver {
    /// Looks whether its server printed so much that the logs must be rotated.
    pub(super) fn keep_logs_small(&mut self) {
        self.logs.rotate_while_running(&self.services, &self.spec);
    }
}

/// What is rotated, and when.
struct Rotation {
    files: OutputFiles,
    largest: u64,
    keep: usize,
}

impl Rotation {
    fn of(services: &Services, spec: &InstanceSpec) -> Self {
        let largest = u64::from(spec.logs.max_size_mb.get()) * 1024 * 1024;
        Self { files: services.output_files(spec), largest, keep: usize::from(spec.logs.rotation) }
    }

    fn perform(&self) {
        for path in self.files.paths().map(PathBuf::from) {
            if let Err(error) = output::rotate_if_large(&path, self.largest, self.keep) {
                tracing::warn!(path = %path.display(), %error, "the log could not be rotated");
            }
        }
    }
}
