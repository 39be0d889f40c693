#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

use async_trait::async_trait;

use super::*;
use crate::env::Environment;
use crate::model::ModelReference;
use crate::names::{EnvKey, InstanceName};
use crate::operation::Operation;
use crate::store::{InstanceRecord, ModelRecord, SqliteStore, StoreError};

/// A real store that can be told to fail.
struct Moody {
    store: SqliteStore,
    fails: AtomicBool,
    batches: Mutex<Vec<usize>>,
    _home: tempfile::TempDir,
}

impl Moody {
    fn new() -> Arc<Self> {
        let home = tempfile::tempdir().unwrap();
        let (store, _) = SqliteStore::open(&home.path().join("state/orchestrator.sqlite")).unwrap();
        Arc::new(Self { store, fails: AtomicBool::new(false), batches: Mutex::default(), _home: home })
    }

    async fn messages(&self) -> Vec<(u64, String)> {
        let events = self.store.events_after(0, usize::MAX).await.unwrap();
        events.into_iter().map(|event| (event.sequence, event.message)).collect()
    }
}

#[async_trait]
impl StateStore for Moody {
    async fn append_events(&self, drafts: Vec<EventDraft>) -> Result<Vec<Event>, StoreError> {
        self.batches.lock().unwrap().push(drafts.len());
        if self.fails.load(Ordering::SeqCst) {
            return Err(StoreError::Closed);
        }
        self.store.append_events(drafts).await
    }
    async fn instances(&self) -> Result<Vec<InstanceRecord>, StoreError> {
        self.store.instances().await
    }
    async fn put_instance(&self, record: InstanceRecord) -> Result<(), StoreError> {
        self.store.put_instance(record).await
    }
    async fn delete_instance(&self, name: &InstanceName) -> Result<(), StoreError> {
        self.store.delete_instance(name).await
    }
    async fn models(&self) -> Result<Vec<ModelRecord>, StoreError> {
        self.store.models().await
    }
    async fn put_model(&self, record: ModelRecord) -> Result<(), StoreError> {
        self.store.put_model(record).await
    }
    async fn delete_model(&self, reference: &ModelReference) -> Result<(), StoreError> {
        self.store.delete_model(reference).await
    }
    async fn environments(&self) -> Result<Vec<Environment>, StoreError> {
        self.store.environments().await
    }
    async fn put_environment(&self, environment: Environment) -> Result<(), StoreError> {
        self.store.put_environment(environment).await
    }
    async fn delete_environment(&self, key: &EnvKey) -> Result<(), StoreError> {
        self.store.delete_environment(key).await
    }
    async fn operations(&self, limit: usize) -> Result<Vec<Operation>, StoreError> {
        self.store.operations(limit).await
    }
    async fn put_operation(&self, operation: Operation) -> Result<(), StoreError> {
        self.store.put_operation(operation).await
    }
    async fn events_after(&self, sequence: u64, limit: usize) -> Result<Vec<Event>, StoreError> {
        self.store.events_after(sequence, limit).await
    }
    async fn last_events(&self, instance: Option<&InstanceName>, limit: usize) -> Result<Vec<Event>, StoreError> {
        self.store.last_events(instance, limit).await
    }
    async fn get(&self, key: &str) -> Result<Option<String>, StoreError> {
        self.store.get(key).await
    }
    async fn put(&self, key: &str, value: String) -> Result<(), StoreError> {
        self.store.put(key, value).await
    }
    async fn check(&self) -> Result<Vec<String>, StoreError> {
        self.store.check().await
    }

    async fn close(&self) {}
}

struct Fixture {
    store: Arc<Moody>,
    log: EventLog,
    tracker: TaskTracker,
    token: CancellationToken,
}

fn fixture() -> Fixture {
    let (store, tracker, token) = (Moody::new(), TaskTracker::new(), CancellationToken::new());
    let log = EventLog::start(Arc::clone(&store) as Arc<dyn StateStore>, &tracker, token.clone());
    Fixture { store, log, tracker, token }
}

fn draft(text: impl Into<String>) -> EventDraft {
    EventDraft::new(EventKind::Daemon, text)
}

fn heard(listener: &mut broadcast::Receiver<Event>) -> Vec<(u64, String)> {
    std::iter::from_fn(|| listener.try_recv().ok()).map(|event| (event.sequence, event.message)).collect()
}

#[tokio::test]
async fn listeners_hear_what_is_stored_in_order_and_in_few_batches() {
    let Fixture { store, log, .. } = fixture();
    let mut listener = log.subscribe();
    for number in 0..300 {
        log.record(draft(number.to_string()));
    }
    log.flush().await;
    let stored = store.messages().await;
    assert_eq!(stored.len(), 300);
    assert_eq!((stored[299].0, stored[299].1.as_str()), (300, "299"));
    assert_eq!(heard(&mut listener), stored);
    assert!(store.batches.lock().unwrap().len() < 5, "{:?}", store.batches);
}

#[tokio::test]
async fn events_wait_while_the_store_fails_and_no_number_is_given_twice() {
    let Fixture { store, log, .. } = fixture();
    let mut listener = log.subscribe();
    log.record(draft("before"));
    log.flush().await;
    assert_eq!(heard(&mut listener), [(1, "before".to_owned())]);
    store.fails.store(true, Ordering::SeqCst);
    log.record(draft("during"));
    log.flush().await;
    assert_eq!(heard(&mut listener), []);
    store.fails.store(false, Ordering::SeqCst);
    // Nothing new is recorded: the task tries again by itself.
    let event = tokio::time::timeout(Duration::from_mins(1), listener.recv()).await.unwrap().unwrap();
    assert_eq!((event.sequence, event.message.as_str()), (2, "during"));
    log.record(draft("after"));
    log.flush().await;
    assert_eq!(heard(&mut listener), [(3, "after".to_owned())]);
    assert_eq!(store.messages().await.len(), 3);
}

#[tokio::test]
async fn what_finds_no_room_is_counted_and_told() {
    let Fixture { store, log, .. } = fixture();
    // The task has no chance to run in between: one thread, and nothing is awaited.
    for number in 0..QUEUE + 10 {
        log.record(draft(number.to_string()));
    }
    log.flush().await;
    let messages = store.messages().await;
    assert_eq!(messages.len(), QUEUE + 1);
    assert!(messages.iter().any(|(_, message)| message == "10 events were lost: there was no room for them"), "{:?}", messages.last());
}

#[tokio::test]
async fn memory_stays_bounded_while_the_store_fails() {
    let Fixture { store, log, .. } = fixture();
    store.fails.store(true, Ordering::SeqCst);
    for _ in 0..3 {
        for number in 0..LARGEST_BACKLOG / 2 {
            log.record(draft(number.to_string()));
        }
        log.flush().await;
    }
    store.fails.store(false, Ordering::SeqCst);
    log.flush().await;
    let messages = store.messages().await;
    assert_eq!(messages.len(), LARGEST_BACKLOG + 1);
    assert!(messages[LARGEST_BACKLOG].1.starts_with("2048 events were lost"), "{:?}", messages.last());
}

#[tokio::test]
async fn the_end_stores_what_was_recorded_before_it() {
    let Fixture { store, log, tracker, token } = fixture();
    for number in 0..50 {
        log.record(draft(number.to_string()));
    }
    token.cancel();
    tracker.close();
    tracker.wait().await;
    assert_eq!(store.messages().await.len(), 50);
    log.record(draft("too late"));
    log.flush().await;
    assert_eq!(store.messages().await.len(), 50);
}
