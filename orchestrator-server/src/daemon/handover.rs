//! The keeper: the task that decides whose the home is. It hands the home over to a successor while requests go on,
//! and takes it back where the successor does not come up.
//!
//! The lock is never free and the listeners are never closed on the way: connections that come meanwhile wait in
//! their queue, requests on open connections wait for the outcome. Whoever is killed at whatever instant, the other
//! one has the lock, and recovery is how it begins.

mod process;
mod successor;
pub(super) mod wire;

use std::future::Future;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use orchestrator_core::orchestrator::OwnerLock;
use orchestrator_core::orchestrator::predecessors::DrainNote;
use orchestrator_core::{ErrorCode, Orchestrator, Paths, Problem};
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use successor::{Estate, Inheritance, take_over};

use super::connection::{Accepting, Acceptor};
use super::listen::Listeners;
use super::seat::{Owned, Phase};
use super::{DaemonFile, VERSION};
use process::Peer;

/// How long a successor may take to say that it is ready to begin, and what it has to say is one word.
const BEGINNING: Duration = Duration::from_secs(10);
/// How long a successor may take to open the home and serve it. Clients wait meanwhile.
const TAKING: Duration = Duration::from_secs(20);
/// How long the ends of servers are waited for before a hand-over begins; requests go on meanwhile.
const STOPS: Duration = Duration::from_secs(20);
/// How often the note of what is still under way is looked at.
const NOTING: Duration = Duration::from_millis(100);

/// Opens the home again with its lock, after a successor did not come up.
pub type Reopen = Arc<dyn Fn(OwnerLock) -> Pin<Box<dyn Future<Output = Result<Orchestrator, Problem>> + Send>> + Send + Sync>;

/// Somebody who wants to be the successor.
pub(super) struct Call {
    /// Becomes the conversation.
    pub(super) upgrade: OnUpgrade,
    /// Whether it may.
    pub(super) answer: oneshot::Sender<Result<(), Problem>>,
}

/// Why this process serves its home no longer.
#[derive(Debug, Clone)]
pub(super) enum Loss {
    /// A successor serves it.
    Replaced {
        /// Its process id.
        pid: i32,
    },
    /// Nobody does: it could not be opened again.
    Closed(Problem),
}

/// Decides whose the home is.
pub(super) struct Keeper {
    pub(super) paths: Paths,
    pub(super) endpoint: String,
    pub(super) reopen: Reopen,
    /// Makes what answers requests of an opened home.
    pub(super) furnish: Box<dyn Fn(Orchestrator) -> Arc<Owned> + Send + Sync>,
    pub(super) phase: watch::Sender<Phase>,
    pub(super) acceptor: Acceptor,
    /// Nothing, while nobody accepts.
    pub(super) accepting: Option<Accepting>,
    pub(super) calls: mpsc::Receiver<Call>,
    pub(super) loss: watch::Sender<Option<Loss>>,
    pub(super) ending: CancellationToken,
    pub(super) connections: [TaskTracker; 2],
}

impl Keeper {
    /// Keeps the home until the daemon ends, or until it is somebody else's; then notes what is still under way until
    /// the process ends.
    pub(super) async fn run(mut self, gone: CancellationToken) {
        loop {
            let call = tokio::select! {
                biased;
                () = self.ending.cancelled() => return,
                Some(call) = self.calls.recv() => call,
            };
            if let Some((owned, note)) = self.hand_over(call).await {
                // Whoever else asked meanwhile hears that it was too late.
                self.calls.close();
                while self.calls.try_recv().is_ok() {}
                gone.run_until_cancelled(self.keep_note(&owned, note)).await;
                return;
            }
        }
    }

    /// Hands the home over, and returns what is left to do; nothing where the home is still ours.
    async fn hand_over(&mut self, call: Call) -> Option<(Arc<Owned>, Option<DrainNote>)> {
        let Phase::Owning(owned) = self.phase.borrow().clone() else { return None };
        if let Err(problem) = settle(&owned.orchestrator).await {
            let _ = call.answer.send(Err(problem));
            return None;
        }
        // Whoever asked may be gone by now; then the conversation does not begin either.
        let _ = call.answer.send(Ok(()));
        let (stream, peer) = match tokio::time::timeout(BEGINNING, begin(call.upgrade)).await {
            Ok(Ok(begun)) => begun,
            Ok(Err(cause)) => {
                tracing::warn!(%cause, "somebody asked for the home and did not take it");
                return None;
            }
            Err(_) => {
                tracing::warn!("somebody asked for the home and said nothing more");
                return None;
            }
        };
        let pid = peer.pid();
        tracing::info!(pid, "handing the home over");
        let begun = Instant::now();
        self.phase.send_replace(Phase::HandingOver(owned.clone()));
        // Whoever ends the daemon waits for the outcome from here on, or was here first.
        if self.ending.is_cancelled() {
            self.phase.send_replace(Phase::Owning(owned));
            return None;
        }
        let listeners = match self.accepting.take() {
            Some(accepting) => accepting.pause().await,
            None => None,
        };
        let Some(listeners) = listeners else {
            self.phase.send_replace(Phase::Owning(owned));
            return None;
        };
        owned.streams.cancel();
        let lock = match owned.orchestrator.detach().await {
            Ok(lock) => lock,
            Err(problem) => {
                self.lose(&owned, Loss::Closed(problem));
                return Some((owned, None));
            }
        };
        let note = DrainNote::begin(&self.paths, VERSION, owned.orchestrator.requests_under_way());
        let note = note.inspect_err(|error| tracing::warn!(%error, "our successor cannot be told what we still answer")).ok();
        match give(&stream, &lock, &listeners, &peer).await {
            Ok(()) => {
                tracing::info!(pid, took = ?begun.elapsed(), "the home is served by our successor; what had begun here ends here");
                self.lose(&owned, Loss::Replaced { pid });
                Some((owned, note))
            }
            Err(cause) => {
                tracing::warn!(pid, %cause, "the successor did not come up; the home is taken back");
                drop(note);
                self.take_back(&owned, lock, listeners).await
            }
        }
    }

    async fn take_back(&mut self, owned: &Arc<Owned>, lock: OwnerLock, listeners: Listeners) -> Option<(Arc<Owned>, Option<DrainNote>)> {
        match (self.reopen)(lock).await {
            Ok(orchestrator) => {
                // It may name the successor by now.
                if let Err(error) = DaemonFile::new(self.endpoint.clone()).write(&self.paths) {
                    tracing::warn!(%error, "the address we listen on could not be written down");
                }
                self.phase.send_replace(Phase::Owning((self.furnish)(orchestrator)));
                self.accepting = Some(self.acceptor.accept(listeners));
                None
            }
            Err(problem) => {
                tracing::error!(%problem, "the home could not be opened again; servers go on, and this daemon ends");
                self.lose(owned, Loss::Closed(problem));
                Some((owned.clone(), None))
            }
        }
    }

    fn lose(&self, owned: &Arc<Owned>, loss: Loss) {
        self.phase.send_replace(Phase::Retired(owned.clone()));
        self.loss.send_replace(Some(loss));
    }

    async fn keep_note(&self, owned: &Arc<Owned>, note: Option<DrainNote>) {
        let Some(mut note) = note else { return };
        loop {
            let connections = self.connections.iter().map(TaskTracker::len).sum();
            if let Err(error) = note.update(connections, owned.orchestrator.requests_under_way()) {
                tracing::debug!(%error, "the note of what is still under way could not be written");
            }
            tokio::time::sleep(NOTING).await;
        }
    }
}

/// Waits until the home can change hands.
async fn settle(orchestrator: &Orchestrator) -> Result<(), Problem> {
    let deadline = Instant::now() + STOPS;
    loop {
        let Some(problem) = orchestrator.handover_hindrance().await? else { return Ok(()) };
        if Instant::now() > deadline {
            return Err(problem);
        }
        tokio::time::sleep(NOTING).await;
    }
}

/// Waits for the first word of the successor.
async fn begin(upgrade: OnUpgrade) -> Result<(UnixStream, Peer), String> {
    let upgraded = upgrade.await.map_err(|error| error.to_string())?;
    let parts = upgraded.downcast::<TokioIo<UnixStream>>().map_err(|_| "it is no Unix socket".to_owned())?;
    let stream = parts.io.into_inner();
    if parts.read_buf.is_empty() {
        wire::expect(&stream, wire::READY).await.map_err(|error| error.to_string())?;
    } else if *parts.read_buf != *wire::READY {
        return Err("it says something else than it should".to_owned());
    }
    let peer = Peer::of(&stream).map_err(|error| error.to_string())?;
    Ok((stream, peer))
}

/// Gives the home away. On an error the other process has ended.
async fn give(stream: &UnixStream, lock: &OwnerLock, listeners: &Listeners, peer: &Peer) -> Result<(), String> {
    let taken = async {
        wire::send(stream, [lock.as_fd(), listeners.unix.as_fd(), listeners.tcp.as_fd()]).await?;
        wire::expect(stream, wire::SERVING).await
    };
    match tokio::time::timeout(TAKING, taken).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => {
            peer.end().await;
            Err(if error.kind() == std::io::ErrorKind::UnexpectedEof { "it ended".to_owned() } else { error.to_string() })
        }
        Err(_) => {
            peer.kill().await;
            Err(format!("it did not serve the home within {} s", TAKING.as_secs()))
        }
    }
}

/// Says that this daemon cannot be replaced.
pub(super) fn immovable() -> Problem {
    let problem = Problem::new(ErrorCode::DaemonBusy, "this daemon cannot hand its home over");
    problem.with_hint("run `orch daemon stop` and `orch daemon start` instead: servers go on, and clients are away for a moment")
}

/// Says that another one is being asked for just now.
pub(super) fn occupied() -> Problem {
    let mut problem = Problem::new(ErrorCode::DaemonBusy, "the home is being handed over already");
    problem.retry_after_seconds = Some(1);
    problem
}
