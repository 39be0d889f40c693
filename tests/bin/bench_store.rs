//! `bench-store`: works with the state store of the core and tells how long that took, as one line of JSON.
//!
//! ```text
//! bench-store fill DATABASE                 50 instances and 950 events
//! bench-store measure DATABASE ROUNDS       changes one by one beside plain syncs of a file, in turns; then many at once
//! ```

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a tool for measurements: it fails by panicking, and prints its result"
)]

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use orchestrator_core::event::{EventDraft, EventKind};
use orchestrator_core::instance::InstanceSpec;
use orchestrator_core::store::{InstanceRecord, SqliteStore, StateStore};
use serde_json::json;

const INSTANCES: u32 = 50;
const EVENTS: u32 = 950;
/// Changes, and syncs, of one turn.
const CHANGES: u32 = 50;
/// Who changes something at the same time, and for how long.
const WRITERS: u32 = 512;
const MANY_AT_ONCE: Duration = Duration::from_millis(200);
/// What a change adds to the write-ahead log at least: one page with its header.
const FRAME: usize = 4_096 + 24;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        match words.as_slice() {
            ["fill", database] => fill(Path::new(database)).await,
            ["measure", database, rounds] => measure(Path::new(database), rounds.parse().unwrap()).await,
            _ => panic!("see the documentation of this program for its arguments"),
        }
    });
}

async fn fill(database: &Path) {
    let (store, _) = SqliteStore::open(database).unwrap();
    for number in 0..INSTANCES {
        store.put_instance(record(number)).await.unwrap();
    }
    let drafts = (0..EVENTS).map(|number| {
        let name = format!("instance-{}", number % INSTANCES).parse().unwrap();
        EventDraft::new(EventKind::InstanceState, format!("`{name}` is ready: event {number}")).about(&name)
    });
    store.append_events(drafts.collect()).await.unwrap();
}

fn record(number: u32) -> InstanceRecord {
    let name = format!("instance-{number}");
    let spec: InstanceSpec = serde_json::from_value(json!({ "name": name, "model": { "path": "/models/some-model.gguf" } })).unwrap();
    InstanceRecord { name: name.parse().unwrap(), wanted: false, spec: Some(spec), server: None, restarts: 0 }
}

async fn measure(database: &Path, rounds: u32) {
    let (store, _) = SqliteStore::open(database).unwrap();
    let store = Arc::new(store);
    let mut file = File::create(database.with_extension("floor")).unwrap();
    let (mut changes, mut syncs, mut rates) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        // In pairs, so that both see the same disk.
        let (mut change, mut sync) = (Duration::ZERO, Duration::ZERO);
        for number in 0..CHANGES {
            let begun = Instant::now();
            store.put_instance(record(number)).await.unwrap();
            change += begun.elapsed();
            let begun = Instant::now();
            file.write_all(&[7; FRAME]).unwrap();
            file.sync_all().unwrap();
            sync += begun.elapsed();
        }
        changes.push(change.as_secs_f64() * 1e6 / f64::from(CHANGES));
        syncs.push(sync.as_secs_f64() * 1e6 / f64::from(CHANGES));
        rates.push(many_at_once(&store).await);
    }
    println!("{}", json!({ "change_us": changes, "sync_us": syncs, "changes_per_second": rates }));
}

/// Returns how many changes per second are on disk when many ask for them at the same time.
async fn many_at_once(store: &Arc<SqliteStore>) -> f64 {
    let begun = Instant::now();
    let writers: Vec<_> = (0..WRITERS)
        .map(|number| {
            let store = Arc::clone(store);
            tokio::spawn(async move {
                let record = record(number);
                let mut done = 0_u32;
                while begun.elapsed() < MANY_AT_ONCE {
                    store.put_instance(record.clone()).await.unwrap();
                    done += 1;
                }
                done
            })
        })
        .collect();
    let mut done = 0;
    for writer in writers {
        done += writer.await.unwrap();
    }
    f64::from(done) / begun.elapsed().as_secs_f64()
}
