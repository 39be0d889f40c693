//! Ending a workload: ask everybody, wait for the grace, freeze, kill, and prove that nobody is left.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use tokio::time::{Instant, timeout_at};

use super::identity::{ProcessHandle, Stamp};
use super::table::MarkScope;
use super::tree::Kin;
use super::workload::{blocking, look, look_now};
use crate::launcher::LaunchError;

/// How long the killed may take to be gone.
const AFTER_KILL: Duration = Duration::from_secs(2);

/// How many ends are waited for at a time; a look at the table finds the rest.
const WATCHED_AT_ONCE: usize = 64;

/// How often a tree that keeps growing is looked at before it is killed as it is.
const FREEZE_ROUNDS: usize = 32;

/// Ends everybody who belongs to `kin`, and returns how many that were. Returns when nobody is left. Whoever is outside
/// of `scope` belongs only by descent or group.
pub(crate) async fn end_all(kin: &Arc<Kin>, scope: MarkScope, grace: Duration) -> Result<usize, LaunchError> {
    let target = Target { kin: Arc::clone(kin), scope };
    let mut seen = BTreeSet::new();
    if !grace.is_zero() && target.ask(Instant::now() + grace, &mut seen).await? {
        return Ok(seen.len());
    }
    target.kill(Instant::now() + AFTER_KILL, &mut seen).await?;
    Ok(seen.len())
}

/// Who is to be ended, and how far is looked for them.
#[derive(Debug, Clone)]
struct Target {
    kin: Arc<Kin>,
    scope: MarkScope,
}

impl Target {
    /// Asks everybody to end, once each, and returns whether they did by the deadline.
    async fn ask(&self, deadline: Instant, asked: &mut BTreeSet<Stamp>) -> Result<bool, LaunchError> {
        loop {
            let living = self.living().await?;
            if living.is_empty() {
                return Ok(true);
            }
            let mut watched = Vec::new();
            for stamp in living {
                let Some(handle) = ProcessHandle::open(stamp)? else { continue };
                if asked.insert(stamp) {
                    // One that is stopped hears the request only once it goes on.
                    signal_or_log(&handle, Signal::TERM);
                    signal_or_log(&handle, Signal::CONT);
                }
                if watched.len() < WATCHED_AT_ONCE {
                    watched.push(handle);
                }
            }
            if timeout_at(deadline, all_gone(&watched)).await.is_err() {
                return Ok(false);
            }
        }
    }

    /// Kills everybody until nobody is left.
    async fn kill(&self, deadline: Instant, seen: &mut BTreeSet<Stamp>) -> Result<(), LaunchError> {
        loop {
            let round = {
                let target = self.clone();
                // In one piece, off the runtime: cancelled halfway it would leave frozen processes behind.
                blocking(move || target.freeze_and_kill()).await?
            };
            seen.extend(&round.killed);
            if round.killed.is_empty() {
                return Ok(());
            }
            if timeout_at(deadline, all_gone(&round.watched)).await.is_err() {
                let survivors = self.living().await?;
                if survivors.is_empty() {
                    return Ok(());
                }
                let pids = survivors.into_iter().map(|stamp| stamp.pid).collect();
                return Err(LaunchError::Survivors { instance: self.kin.instance.clone(), pids });
            }
        }
    }

    /// Stops everybody first, until a look finds nobody new, and kills them then: nobody can start a child, or lose
    /// its parent and with it the proof that it belongs, between the look and the kill.
    fn freeze_and_kill(&self) -> Result<KillRound, LaunchError> {
        let mut frozen = BTreeSet::new();
        for _ in 0..FREEZE_ROUNDS {
            let living = self.living_now()?;
            let new: Vec<Stamp> = living.into_iter().filter(|stamp| !frozen.contains(stamp)).collect();
            if new.is_empty() {
                break;
            }
            for stamp in new {
                frozen.insert(stamp);
                if let Some(handle) = ProcessHandle::open(stamp)? {
                    signal_or_log(&handle, Signal::STOP);
                }
            }
        }
        let mut round = KillRound { killed: BTreeSet::new(), watched: Vec::new() };
        for stamp in frozen {
            let Some(handle) = ProcessHandle::open(stamp)? else { continue };
            signal_or_log(&handle, Signal::KILL);
            round.killed.insert(stamp);
            if round.watched.len() < WATCHED_AT_ONCE {
                round.watched.push(handle);
            }
        }
        Ok(round)
    }

    async fn living(&self) -> Result<Vec<Stamp>, LaunchError> {
        let found = look(&self.kin, self.scope).await?;
        Ok(found.iter().filter(|record| record.alive).map(super::table::ProcessRecord::stamp).collect())
    }

    fn living_now(&self) -> Result<Vec<Stamp>, LaunchError> {
        let found = look_now(&self.kin, self.scope)?;
        Ok(found.iter().filter(|record| record.alive).map(super::table::ProcessRecord::stamp).collect())
    }
}

struct KillRound {
    killed: BTreeSet<Stamp>,
    watched: Vec<ProcessHandle>,
}

async fn all_gone(handles: &[ProcessHandle]) {
    for handle in handles {
        if let Err(error) = handle.gone().await {
            // The next look at the table tells as well.
            tracing::debug!(pid = handle.stamp().pid, %error, "the end of a process could not be waited for");
        }
    }
}

/// A process that may not be signalled (it changed its user) shows up among the survivors.
fn signal_or_log(handle: &ProcessHandle, signal: Signal) {
    if let Err(error) = handle.signal(signal) {
        tracing::warn!(pid = handle.stamp().pid, ?signal, %error, "could not signal a process");
    }
}
