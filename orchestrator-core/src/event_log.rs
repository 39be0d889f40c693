//! [`EventLog`]: one task that stores events and tells whoever listens.
//!
//! Owns the order of the events. A number is given by the store and by nobody else, and listeners hear of an
//! event only once it is stored: a number that was seen once is never given to another event, not even across a
//! kill. While the store fails, the events wait here and are tried again; they are in the program's own log from
//! the first moment. What finds no room any more is counted, and a warning says how many were lost.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use crate::event::{Event, EventDraft, EventKind};
use crate::store::StateStore;

/// How many events may wait to be taken up.
const QUEUE: usize = 4_096;
/// How many events wait while the store fails; the newest are let go.
const LARGEST_BACKLOG: usize = 4_096;
/// How many events are stored at once at most.
const LARGEST_BATCH: usize = 512;
/// How far a listener may fall behind before it has to read up in the store.
const LISTENER_BUFFER: usize = 1_024;
/// How long to wait before a failed write is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Takes events from everywhere, numbers and stores them in order, and tells listeners. Cheap to clone.
#[derive(Debug, Clone)]
pub struct EventLog {
    messages: mpsc::Sender<Message>,
    listeners: broadcast::Sender<Event>,
    dropped: Arc<AtomicU64>,
}

#[derive(Debug)]
enum Message {
    Record(EventDraft),
    Flush(oneshot::Sender<()>),
}

impl EventLog {
    /// Starts the task. When `token` is cancelled it stores what was recorded until then, and ends.
    #[must_use]
    pub fn start(store: Arc<dyn StateStore>, tracker: &TaskTracker, token: CancellationToken) -> Self {
        let (messages, inbox) = mpsc::channel(QUEUE);
        let listeners = broadcast::Sender::new(LISTENER_BUFFER);
        let dropped = Arc::new(AtomicU64::new(0));
        let task = LogTask {
            store,
            inbox,
            listeners: listeners.clone(),
            dropped: Arc::clone(&dropped),
            backlog: VecDeque::new(),
            flushes: Vec::new(),
            retry_at: None,
        };
        tracker.spawn(task.run(token).instrument(tracing::info_span!("event_log")));
        Self { messages, listeners, dropped }
    }

    /// Records an event. Never waits; when there is no room the event is lost, and a later warning counts it.
    pub fn record(&self, draft: EventDraft) {
        log(&draft);
        if self.messages.try_send(Message::Record(draft)).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Returns the events from now on, each after it was stored. A listener that falls behind is told so, and
    /// finds in the store what it missed.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.listeners.subscribe()
    }

    /// Waits until everything recorded before is stored, or one more try to store it has failed.
    pub async fn flush(&self) {
        let (done, flushed) = oneshot::channel();
        if self.messages.send(Message::Flush(done)).await.is_ok() {
            // An error means that the task has ended, and it stores everything before it does.
            let _ = flushed.await;
        }
    }
}

/// The events in the program's own log, where they stand even if they are never stored.
fn log(draft: &EventDraft) {
    // The message names its instance, and so does the span it is written in.
    if matches!(draft.kind, EventKind::Warning | EventKind::Circuit) {
        tracing::warn!("{}", draft.message);
    } else if draft.kind == EventKind::ToolCalls {
        // One for each request: too many for a log that is read by people.
        tracing::debug!("{}", draft.message);
    } else {
        tracing::info!("{}", draft.message);
    }
}

struct LogTask {
    store: Arc<dyn StateStore>,
    inbox: mpsc::Receiver<Message>,
    listeners: broadcast::Sender<Event>,
    dropped: Arc<AtomicU64>,
    backlog: VecDeque<EventDraft>,
    flushes: Vec<oneshot::Sender<()>>,
    /// Set while the store fails.
    retry_at: Option<Instant>,
}

enum Wake {
    Messages(Vec<Message>),
    Retry,
    Ended,
}

impl LogTask {
    async fn run(mut self, token: CancellationToken) {
        loop {
            match self.next(&token).await {
                Wake::Messages(messages) => self.take(messages),
                Wake::Retry => self.retry_at = None,
                Wake::Ended => break,
            }
            if self.retry_at.is_none() || !self.flushes.is_empty() {
                self.store_backlog().await;
            }
        }
        self.inbox.close();
        while let Some(message) = self.inbox.recv().await {
            self.take(vec![message]);
        }
        self.store_backlog().await;
        if !self.backlog.is_empty() {
            tracing::warn!(events = self.backlog.len(), "the last events could not be stored");
        }
    }

    /// Cancel-safe: `recv_many` takes nothing when it loses, the other two hold nothing.
    async fn next(&mut self, token: &CancellationToken) -> Wake {
        let mut messages = Vec::new();
        let retry_at = self.retry_at;
        let retry = async {
            match retry_at {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = token.cancelled() => Wake::Ended,
            () = retry => Wake::Retry,
            count = self.inbox.recv_many(&mut messages, LARGEST_BATCH) => if count == 0 { Wake::Ended } else { Wake::Messages(messages) },
        }
    }

    fn take(&mut self, messages: Vec<Message>) {
        for message in messages {
            match message {
                Message::Record(draft) if self.backlog.len() < LARGEST_BACKLOG => self.backlog.push_back(draft),
                Message::Record(_) => {
                    self.dropped.fetch_add(1, Ordering::Relaxed);
                }
                Message::Flush(done) => self.flushes.push(done),
            }
        }
    }

    /// Stores all that waits and tells the listeners, up to the first failure; then answers who waits for a flush.
    async fn store_backlog(&mut self) {
        let mut lost = 0;
        loop {
            // Counted only while everything before fits, so that the warning stands where the gap is.
            if self.backlog.len() < LARGEST_BATCH {
                lost += self.dropped.swap(0, Ordering::Relaxed);
            }
            let mut drafts: Vec<_> = self.backlog.iter().take(LARGEST_BATCH).cloned().collect();
            let count = drafts.len();
            if lost > 0 {
                drafts.push(lost_events(lost));
            }
            if drafts.is_empty() {
                break;
            }
            match self.store.append_events(drafts).await {
                Ok(events) => {
                    self.backlog.drain(..count);
                    lost = 0;
                    self.retry_at = None;
                    for event in events {
                        // An error means that nobody listens.
                        let _ = self.listeners.send(event);
                    }
                }
                Err(error) => {
                    if self.retry_at.is_none() {
                        tracing::error!(error = &error as &dyn std::error::Error, waiting = self.backlog.len(), "could not store events");
                    }
                    self.dropped.fetch_add(lost, Ordering::Relaxed);
                    self.retry_at = Some(Instant::now() + RETRY_AFTER);
                    break;
                }
            }
        }
        for done in self.flushes.drain(..) {
            let _ = done.send(());
        }
    }
}

fn lost_events(count: u64) -> EventDraft {
    let draft = EventDraft::new(EventKind::Warning, format!("{count} events were lost: there was no room for them"))
        .with_data(serde_json::json!({ "lost_events": count }));
    log(&draft);
    draft
}

#[cfg(test)]
mod tests;
