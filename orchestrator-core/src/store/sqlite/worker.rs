//! Two threads that own the connections: one writes, one reads.
//!
//! Callers queue work on a bounded channel and wait for the answer. The writer takes all that is queued, up to a
//! limit, and commits it in one transaction, each piece behind a savepoint: one sync of the disk for many
//! callers, and a piece that fails does not spoil the others. It answers after the commit, never before.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::super::StoreError;
use super::mark::Mark;
use super::rows;

/// How many pieces may wait; whoever comes later waits for room.
const QUEUE: usize = 1_024;
/// How many pieces are committed together at most.
const LARGEST_BATCH: usize = 256;

/// What is queued.
enum Message {
    Work(Box<dyn Job>),
    /// Nothing more is taken. Whoever still waits for room may be held up for ever, so that it is told and not noticed.
    Close,
}

/// A thread that owns a connection and works on what is queued. Dropping it finishes the queue and joins it.
pub(super) struct Worker {
    /// Nothing, once it is closed. Held for the length of a clone.
    queue: RwLock<Option<mpsc::Sender<Message>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    commits: Arc<AtomicU64>,
}

impl Worker {
    /// Starts the thread that writes.
    pub(super) fn writing(connection: Connection, mark: Mark) -> std::io::Result<Self> {
        Self::start("store-writer", move |queue, commits| {
            let mut writer = Writer { connection: &connection, mark, commits };
            writer.write_until_closed(queue);
            // The log is written back first: until then the mark is needed.
            let Writer { mark, .. } = writer;
            if connection.close().is_ok() {
                mark.remove();
            }
        })
    }

    /// Starts the thread that reads.
    pub(super) fn reading(connection: Connection) -> std::io::Result<Self> {
        Self::start("store-reader", move |mut queue, _| {
            while let Some(message) = queue.blocking_recv() {
                match message {
                    Message::Work(mut job) => {
                        job.perform(&connection);
                        job.answer();
                    }
                    Message::Close => queue.close(),
                }
            }
        })
    }

    fn start(name: &str, body: impl FnOnce(mpsc::Receiver<Message>, &AtomicU64) + Send + 'static) -> std::io::Result<Self> {
        let (queue, receiver) = mpsc::channel(QUEUE);
        let commits = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&commits);
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || body(receiver, &counter))?;
        Ok(Self { queue: RwLock::new(Some(queue)), thread: Mutex::new(Some(thread)), commits })
    }

    /// Queues a piece of work and waits for its answer. Once queued it is done, even if nobody waits any more.
    ///
    /// `work` may run twice: when the transaction it was part of fails, it is tried again alone.
    pub(super) async fn run<T, W>(&self, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: FnMut(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let job = Box::new(TypedJob { work, result: Err(StoreError::Closed), answer });
        let queue = self.queue.read().unwrap_or_else(PoisonError::into_inner).clone().ok_or(StoreError::Closed)?;
        queue.send(Message::Work(job)).await.map_err(|_| StoreError::Closed)?;
        answered.await.map_err(|_| StoreError::Closed)?
    }

    /// Finishes what is queued and closes the connection. Whoever comes later is told that it is closed.
    pub(super) async fn close(&self) {
        let queue = self.queue.write().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(queue) = queue {
            // An error means that the thread has ended.
            let _ = queue.send(Message::Close).await;
        }
        if let Some(thread) = self.take_thread() {
            let joined = tokio::task::spawn_blocking(|| join(thread)).await;
            if let Err(error) = joined {
                tracing::error!(%error, "the end of a thread of the state store could not be waited for");
            }
        }
    }

    fn take_thread(&self) -> Option<JoinHandle<()>> {
        self.thread.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Returns how many transactions were committed.
    #[cfg_attr(not(test), expect(dead_code, reason = "tests see by it that commits are grouped"))]
    pub(super) fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Nobody can be waiting for room: whoever does borrows this value.
        *self.queue.write().unwrap_or_else(PoisonError::into_inner) = None;
        if let Some(thread) = self.take_thread() {
            join(thread);
        }
    }
}

fn join(thread: JoinHandle<()>) {
    if thread.join().is_err() {
        tracing::error!("a thread of the state store panicked");
    }
}

/// A piece of work with the place its answer goes to.
trait Job: Send {
    /// Does the work, keeps the result and returns whether it was a success.
    fn perform(&mut self, connection: &Connection) -> bool;
    /// Puts a failure in place of the result.
    fn fail(&mut self, error: StoreError);
    /// Puts a failure in place of a success: the work was done in vain. A failure of its own is kept.
    fn undo(&mut self, error: StoreError);
    /// Hands the result to whoever waits.
    fn answer(self: Box<Self>);
}

struct TypedJob<T, W> {
    work: W,
    result: Result<T, StoreError>,
    answer: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, W> Job for TypedJob<T, W>
where
    T: Send,
    W: FnMut(&Connection) -> Result<T, StoreError> + Send,
{
    fn perform(&mut self, connection: &Connection) -> bool {
        self.result = (self.work)(connection);
        self.result.is_ok()
    }

    fn fail(&mut self, error: StoreError) {
        self.result = Err(error);
    }

    fn undo(&mut self, error: StoreError) {
        if matches!(self.result, Ok(_) | Err(StoreError::Closed)) {
            self.result = Err(error);
        }
    }

    fn answer(self: Box<Self>) {
        // Whoever asked may have gone; the work is done all the same.
        let _ = self.answer.send(self.result);
    }
}

/// What the writing thread has.
struct Writer<'a> {
    connection: &'a Connection,
    mark: Mark,
    commits: &'a AtomicU64,
}

impl Writer<'_> {
    fn write_until_closed(&mut self, mut queue: mpsc::Receiver<Message>) {
        let mut messages = Vec::new();
        while queue.blocking_recv_many(&mut messages, LARGEST_BATCH) > 0 {
            let mut batch = Vec::with_capacity(messages.len());
            for message in messages.drain(..) {
                match message {
                    Message::Work(job) => batch.push(job),
                    Message::Close => queue.close(),
                }
            }
            if !batch.is_empty() {
                self.write_batch(&mut batch);
            }
            for job in batch {
                job.answer();
            }
        }
    }

    /// Commits the batch in one transaction; when that fails, each piece in its own, so that each has its own fate.
    fn write_batch(&mut self, batch: &mut [Box<dyn Job>]) {
        match self.commit_together(batch) {
            Ok(()) => {}
            Err(BatchError::NotBegun(error)) => {
                for job in batch {
                    job.fail(StoreError::Statement { action: "begin a transaction", source: copy_of(&error) });
                }
            }
            Err(BatchError::NotCommitted) => {
                for job in batch {
                    match self.commit_together(std::slice::from_mut(job)) {
                        Err(BatchError::NotBegun(source)) => job.fail(StoreError::Statement { action: "begin a transaction", source }),
                        // It keeps the result of its own statement where that failed.
                        Ok(()) | Err(BatchError::NotCommitted) => {}
                    }
                }
            }
        }
    }

    /// Leaves a failed result in each piece that failed by itself. On an error no piece of the batch has an effect.
    fn commit_together(&mut self, batch: &mut [Box<dyn Job>]) -> Result<(), BatchError> {
        let connection = self.connection;
        connection.execute_batch("BEGIN IMMEDIATE").map_err(BatchError::NotBegun)?;
        let committed = perform_all(connection, batch)
            .and_then(|()| rows::count_commit(connection, self.mark.next()))
            .and_then(|()| connection.execute_batch("COMMIT"));
        let Err(error) = committed else {
            self.mark.advance();
            self.commits.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        };
        // A full disk and the like make `SQLite` roll back by itself; then there is nothing left to roll back.
        if !connection.is_autocommit()
            && let Err(error) = connection.execute_batch("ROLLBACK")
        {
            tracing::error!(%error, "could not roll back a transaction of the state database");
        }
        for job in batch {
            job.undo(StoreError::Statement { action: "commit a change", source: copy_of(&error) });
        }
        Err(BatchError::NotCommitted)
    }
}

enum BatchError {
    NotBegun(rusqlite::Error),
    NotCommitted,
}

fn perform_all(connection: &Connection, batch: &mut [Box<dyn Job>]) -> rusqlite::Result<()> {
    for job in batch {
        connection.execute_batch("SAVEPOINT piece")?;
        if !job.perform(connection) {
            // Fails when the whole transaction is gone already, and then the batch has failed.
            connection.execute_batch("ROLLBACK TO piece")?;
        }
        connection.execute_batch("RELEASE piece")?;
    }
    Ok(())
}

/// Returns the same failure once more, for each of several who wait.
fn copy_of(error: &rusqlite::Error) -> rusqlite::Error {
    match error {
        rusqlite::Error::SqliteFailure(code, message) => rusqlite::Error::SqliteFailure(*code, message.clone()),
        other => {
            let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_ERROR);
            rusqlite::Error::SqliteFailure(code, Some(other.to_string()))
        }
    }
}
