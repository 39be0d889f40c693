#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail by panicking")]
#![expect(clippy::unit_arg, reason = "statements without a result, in closures of one line")]

mod damage;
mod durability;

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;

use super::*;
use crate::error::{Coded, ErrorCode, Problem};
use crate::event::{EventKind, Timestamp};
use crate::instance::{InstanceSpec, RunningServer};
use crate::launcher::{ProcessIdentity, WorkloadIdentity};
use crate::model::{InstalledModel, ModelDefaults, ModelFormat, ModelReference};
use crate::operation::{OperationId, OperationKind, OperationStatus, ProgressUpdate};

struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn database(&self) -> PathBuf {
        self.0.path().join("state/orchestrator.sqlite")
    }

    fn open(&self) -> SqliteStore {
        self.open_with_outcome().0
    }

    fn open_with_outcome(&self) -> (SqliteStore, OpenOutcome) {
        SqliteStore::open(&self.database()).unwrap()
    }
}

fn name(text: &str) -> InstanceName {
    InstanceName::try_new(text).unwrap()
}

fn instance(text: &str) -> InstanceRecord {
    let identity = WorkloadIdentity::Process(ProcessIdentity { pid: 4711, start_ticks: u64::MAX, boot_id: "b".to_owned() });
    let (address, started_at) = ("[::1]:8080".parse().unwrap(), Timestamp::now());
    let server = RunningServer { identity, address, started_at, health_path: "/health".to_owned() };
    let config = serde_json::json!({ "name": text, "model": { "ref": "file:/m.gguf" } });
    let spec: InstanceSpec = serde_json::from_value(config).unwrap();
    InstanceRecord { name: name(text), wanted: true, spec: Some(spec), server: Some(server), restarts: 3 }
}

fn model(path: &str) -> ModelRecord {
    let model = InstalledModel {
        reference: ModelReference::try_file(path).unwrap(),
        path: path.into(),
        format: ModelFormat::Gguf,
        name: Some("É \u{1b}\0".to_owned()),
        architecture: "llama".to_owned(),
        quantisation: None,
        context_length: Some(4096),
        parameters: u64::MAX,
        size_bytes: 7,
        has_chat_template: false,
        files: Vec::new(),
        revision: None,
        licence: None,
        projector: None,
        defaults: ModelDefaults::default(),
    };
    ModelRecord { model, installed_at: Timestamp::now(), last_used_at: None }
}

fn environment(key: &str) -> Environment {
    Environment {
        key: crate::EnvKey::try_new(key).unwrap(),
        digest: "abc".to_owned(),
        path: "/envs/abc".into(),
        python: "/envs/abc/bin/python".into(),
        launcher: "/envs/abc/launch.py".into(),
        engine_version: "b1".to_owned(),
        created_at: Timestamp::now(),
        size_bytes: 1,
    }
}

fn operation(created_at: i64, status: OperationStatus) -> Operation {
    let kind = OperationKind::CreateEnvironment { key: crate::EnvKey::try_new("llama-cpp-cpu").unwrap() };
    Operation { id: OperationId::generate(), kind, created_at: Timestamp::from_millis(created_at).unwrap(), status }
}

fn running() -> OperationStatus {
    OperationStatus::Running { progress: ProgressUpdate { phase: "fetching".to_owned(), done: Some(1), ..ProgressUpdate::default() } }
}

fn drafts(count: usize) -> Vec<EventDraft> {
    (0..count).map(|number| EventDraft::new(EventKind::Warning, format!("event {number}"))).collect()
}

#[tokio::test]
async fn remembers_everything_across_a_reopen() {
    let home = Home::new();
    let (store, outcome) = home.open_with_outcome();
    assert_eq!(outcome, OpenOutcome::Created);
    let (first, mut second) = (instance("a"), instance("b"));
    store.put_instance(first.clone()).await.unwrap();
    store.put_instance(second.clone()).await.unwrap();
    second = InstanceRecord { wanted: false, server: None, restarts: 0, ..second };
    store.put_instance(second.clone()).await.unwrap();
    store.put_instance(instance("c")).await.unwrap();
    store.delete_instance(&name("c")).await.unwrap();
    store.delete_instance(&name("never-there")).await.unwrap();
    let models = [model("/a.gguf"), model("/b.gguf")];
    let environments = [environment("x"), environment("y")];
    for (model, environment) in models.iter().zip(&environments) {
        store.put_model(model.clone()).await.unwrap();
        store.put_environment(environment.clone()).await.unwrap();
    }
    store.put_model(model("/c.gguf")).await.unwrap();
    store.delete_model(&model("/c.gguf").model.reference).await.unwrap();
    let failed = OperationStatus::Failed { at: Timestamp::now(), problem: Problem::new(ErrorCode::DiskFull, "no room") };
    let (old, new) = (operation(1_000, running()), operation(2_000, failed));
    store.put_operation(new.clone()).await.unwrap();
    store.put_operation(old.clone()).await.unwrap();
    let draft = EventDraft::new(EventKind::InstanceState, "ready").about(&name("a")).with_data(serde_json::json!({"x": [1, null]}));
    let events = store.append_events(vec![draft, EventDraft::new(EventKind::Daemon, "up")]).await.unwrap();
    store.put("k", "first".to_owned()).await.unwrap();
    store.put("k", "second".to_owned()).await.unwrap();
    drop(store);

    let (store, outcome) = home.open_with_outcome();
    assert_eq!(outcome, OpenOutcome::Opened);
    assert_eq!(store.instances().await.unwrap(), [first, second]);
    assert_eq!(store.models().await.unwrap(), models);
    assert_eq!(store.environments().await.unwrap(), environments);
    assert_eq!(store.operations(10).await.unwrap(), [new.clone(), old]);
    assert_eq!(store.operations(1).await.unwrap(), [new]);
    assert_eq!(store.events_after(0, 10).await.unwrap(), events);
    assert_eq!(store.last_events(Some(&name("a")), 10).await.unwrap(), events[..1]);
    assert_eq!(store.get("k").await.unwrap().as_deref(), Some("second"));
    assert_eq!(store.get("other").await.unwrap(), None);
    assert_eq!(store.check().await.unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn events_are_numbered_without_end_and_only_the_newest_are_kept() {
    let home = Home::new();
    let store = home.open();
    let kept = usize::try_from(rows::KEPT_EVENTS).unwrap();
    let first = store.append_events(drafts(kept)).await.unwrap();
    assert_eq!((first[0].sequence, first[kept - 1].sequence), (1, kept as u64));
    store.append_events(drafts(5)).await.unwrap();
    let all = store.events_after(0, usize::MAX).await.unwrap();
    assert_eq!((all.len(), all[0].sequence, all[kept - 1].sequence), (kept, 6, kept as u64 + 5));
    let after = store.events_after(kept as u64 + 3, 10).await.unwrap();
    assert_eq!(after.iter().map(|event| event.sequence).collect::<Vec<_>>(), [kept as u64 + 4, kept as u64 + 5]);
    let last = store.last_events(None, 2).await.unwrap();
    assert_eq!(last, after, "the last ones come oldest first");
    assert!(store.events_after(u64::MAX, 10).await.unwrap().is_empty());
    assert!(store.append_events(Vec::new()).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_number_is_not_given_again_when_the_newest_events_are_gone() {
    let home = Home::new();
    let store = home.open();
    store.append_events(drafts(3)).await.unwrap();
    let wipe = |connection: &rusqlite::Connection| Ok(connection.execute_batch("DELETE FROM events").unwrap());
    store.writer.run(wipe).await.unwrap();
    drop(store);
    assert_eq!(home.open().append_events(drafts(1)).await.unwrap()[0].sequence, 4);
}

#[tokio::test]
async fn old_operations_that_ended_are_forgotten_and_running_ones_never() {
    let home = Home::new();
    let store = home.open();
    let oldest = operation(1, running());
    store.put_operation(oldest.clone()).await.unwrap();
    for created_at in 2..rows::KEPT_OPERATIONS + 12 {
        let done = OperationStatus::Succeeded { at: Timestamp::now() };
        store.writer.run(move |connection| rows::put_operation(connection, &operation(created_at, done.clone()))).await.unwrap();
    }
    let kept = store.operations(usize::MAX).await.unwrap();
    assert_eq!(i64::try_from(kept.len()).unwrap(), rows::KEPT_OPERATIONS + 1);
    assert_eq!(kept.last(), Some(&oldest));
    assert_eq!(kept[kept.len() - 2].created_at.as_millis(), 12);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_concurrent_changes_share_few_commits() {
    let home = Home::new();
    let store = Arc::new(home.open());
    // The writer is kept busy, so that the changes queue up behind it.
    let (release, released) = std::sync::mpsc::channel::<()>();
    let blocker = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.writer.run(move |_| Ok(released.recv().unwrap())).await }
    });
    let mut puts = tokio::task::JoinSet::new();
    for number in 0..4_000 {
        let store = Arc::clone(&store);
        puts.spawn(async move { store.put(&format!("key {number}"), number.to_string()).await });
    }
    release.send(()).unwrap();
    blocker.await.unwrap().unwrap();
    while let Some(done) = puts.join_next().await {
        done.unwrap().unwrap();
    }
    assert!(store.writer.commits() < 1_000, "{} commits", store.writer.commits());
    for number in (0..4_000).step_by(397) {
        assert_eq!(store.get(&format!("key {number}")).await.unwrap(), Some(number.to_string()));
    }
}

#[tokio::test]
async fn a_change_that_fails_does_not_spoil_the_others_of_its_commit() {
    let home = Home::new();
    let store = home.open();
    let (release, released) = std::sync::mpsc::channel::<()>();
    let blocker = store.writer.run(move |_| Ok(released.recv().unwrap()));
    let failing = store.writer.run(|connection| {
        rows::put(connection, "half", "done")?;
        connection
            .execute("INSERT INTO kv (key) VALUES ('no value')", [])
            .map_err(|source| StoreError::Statement { action: "fail", source })
    });
    let changes = async {
        let (before, failed, after) = tokio::join!(store.put("before", "1".to_owned()), failing, store.put("after", "2".to_owned()));
        before.unwrap();
        after.unwrap();
        assert!(matches!(failed, Err(StoreError::Statement { action: "fail", .. })), "{failed:?}");
    };
    let release = async {
        tokio::task::yield_now().await;
        release.send(()).unwrap();
    };
    let (first, (), ()) = tokio::join!(blocker, changes, release);
    first.unwrap();
    assert_eq!(store.get("half").await.unwrap(), None, "the failed one left something behind");
    assert_eq!(store.get("before").await.unwrap().as_deref(), Some("1"));
    assert_eq!(store.get("after").await.unwrap().as_deref(), Some("2"));
}

#[tokio::test]
async fn a_full_disk_fails_the_change_and_work_goes_on_when_there_is_room_again() {
    let home = Home::new();
    let store = home.open();
    store.put("kept", "safe".to_owned()).await.unwrap();
    let limit_pages =
        |pages: i64| move |connection: &rusqlite::Connection| Ok(connection.pragma_update(None, "max_page_count", pages).unwrap());
    let pages =
        |connection: &rusqlite::Connection| Ok(connection.pragma_query_value(None, "page_count", |row| row.get::<_, i64>(0)).unwrap());
    let full = store.writer.run(pages).await.unwrap() + 1;
    store.writer.run(limit_pages(full)).await.unwrap();
    let (large, small) = tokio::join!(store.put("large", "x".repeat(1 << 20)), store.put("small", "fits".to_owned()));
    let error = large.unwrap_err();
    let StoreError::Statement { source, .. } = &error else { panic!("{error:?}") };
    assert_eq!(source.sqlite_error_code(), Some(rusqlite::ErrorCode::DiskFull));
    small.unwrap();
    store.writer.run(limit_pages(1_000_000)).await.unwrap();
    store.put("large", "x".repeat(1 << 20)).await.unwrap();
    for (key, length) in [("kept", 4), ("small", 4), ("large", 1 << 20)] {
        assert_eq!(store.get(key).await.unwrap().unwrap().len(), length);
    }
    assert!(store.check().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_change_is_done_even_when_nobody_waits_for_it_any_more() {
    let home = Home::new();
    let store = home.open();
    {
        let put = store.put("left", "alone".to_owned());
        tokio::pin!(put);
        // One poll queues it.
        assert!(futures_util::poll!(&mut put).is_pending());
    }
    drop(store);
    assert_eq!(home.open().get("left").await.unwrap().as_deref(), Some("alone"));
}

#[tokio::test]
async fn the_files_belong_to_their_owner_alone_and_a_closed_store_leaves_one_file() {
    let home = Home::new();
    let database = home.database();
    std::fs::create_dir(database.parent().unwrap()).unwrap();
    std::fs::set_permissions(database.parent().unwrap(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let store = home.open();
    store.put("k", "v".to_owned()).await.unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(database.parent().unwrap()), 0o700);
    let files = || std::fs::read_dir(database.parent().unwrap()).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
    assert_eq!(files().len(), 4);
    for file in files() {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
    drop(store);
    assert_eq!(files(), [database]);
}

#[tokio::test]
async fn a_sample_of_version_1_still_loads() {
    let home = Home::new();
    let database = home.database();
    std::fs::create_dir(database.parent().unwrap()).unwrap();
    let connection = rusqlite::Connection::open(&database).unwrap();
    connection.execute_batch(include_str!("samples/v1.sql")).unwrap();
    drop(connection);
    let (store, outcome) = home.open_with_outcome();
    assert_eq!(outcome, OpenOutcome::Opened);
    let instances = store.instances().await.unwrap();
    assert_eq!(instances.iter().map(|record| record.name.as_str()).collect::<Vec<_>>(), ["demo", "idle"]);
    assert_eq!(instances[0].server.as_ref().unwrap().identity.pid(), Some(4711));
    assert_eq!(store.models().await.unwrap()[0].model.architecture, "llama");
    assert_eq!(store.environments().await.unwrap()[0].key.as_str(), "llama-cpp-cpu");
    assert_eq!(store.operations(10).await.unwrap().len(), 4);
    assert_eq!(store.last_events(Some(&name("demo")), 10).await.unwrap()[0].data["state"], "ready");
    assert_eq!(store.get("answer").await.unwrap().as_deref(), Some("42"));
    assert_eq!(store.append_events(drafts(1)).await.unwrap()[0].sequence, 18);
}

#[tokio::test]
async fn a_configuration_of_another_version_is_left_out_and_spoils_nothing() {
    let home = Home::new();
    let store = home.open();
    store.put_instance(instance("a")).await.unwrap();
    drop(store);
    let sql = "UPDATE instances SET spec = '{\"name\":\"a\",\"model\":{\"ref\":\"file:/m\"},\"a_key_of_old\":1}'";
    rusqlite::Connection::open(home.database()).unwrap().execute_batch(sql).unwrap();
    let (store, outcome) = home.open_with_outcome();
    assert_eq!(outcome, OpenOutcome::Opened);
    let records = store.instances().await.unwrap();
    assert_eq!(records, [InstanceRecord { spec: None, server: records[0].server.clone(), ..instance("a") }]);
}

#[tokio::test]
async fn a_closed_store_has_everything_on_disk_and_takes_nothing_more_whoever_is_in_the_middle_of_a_call() {
    let home = Home::new();
    let store = home.open();
    // Polled once, and then neither finished nor dropped.
    let mut held_up = Box::pin(store.last_events(None, 1));
    let _ = futures_util::poll!(&mut held_up);
    store.put_instance(instance("a")).await.unwrap();
    store.close().await;
    store.close().await;
    assert!(matches!(store.put_instance(instance("b")).await, Err(StoreError::Closed)));
    let error = store.instances().await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::DaemonStopping);
    let names: Vec<_> = home.open().instances().await.unwrap().into_iter().map(|record| record.name).collect();
    assert_eq!(names, [name("a")]);
    drop(held_up);
}
