//! What the gateway adds to a request: the same engine asked directly, through us and through nginx, in turns.

use std::path::PathBuf;
use std::time::Duration;

use orchestrator_core::model::demo::{DemoModel, write_demo_model};

use super::client::{self, MODEL};
use super::home::{BenchDaemon, BenchHome};
use super::nginx::Nginx;
use super::table::{self, Target};
use super::{ROUNDS, process};
use crate::shell::{TaskResult, target_dir};

/// Requests of one turn over one connection.
const REQUESTS: u32 = 1_000;
/// Connections that ask all the time.
const CONNECTIONS: u32 = 64;
const LOAD_MILLIS: u32 = 300;
/// Streams that are read as fast as they come.
const FAST_STREAMS: u32 = 16;
const FAST_MILLIS: u32 = 200;
/// Streams at the pace of a model: 50 events a second.
const PACED_STREAMS: u32 = 200;
const PACE_US: u32 = 20_000;
const PACED_MILLIS: u32 = 1_000;
/// Streams that are open at a time while memory is looked at.
const HELD_STREAMS: u32 = 500;
const HELD_MILLIS: u32 = 2_500;

pub(crate) fn run() -> TaskResult {
    super::build_release()?;
    let one_worker = Gateway::start(&[("TOKIO_WORKER_THREADS", "1")])?;
    let usual = Gateway::start(&[])?;
    let direct = format!("127.0.0.1:{}", one_worker.home.row(MODEL)?["port"]);
    let nginx = Nginx::start(&one_worker.home.path().join("nginx"), &direct)?;
    let mut places = [
        Place::new("direct", direct, None),
        Place::new("nginx", nginx.address.clone(), Some(nginx.worker)),
        Place::new("ours", one_worker.address.clone(), Some(one_worker.daemon.pid())),
        Place::new("ours, default threads", usual.address.clone(), Some(usual.daemon.pid())),
    ];
    for place in &mut places {
        place.look_at_memory()?;
    }
    for round in 0..ROUNDS {
        for turn in 0..places.len() {
            // Nobody is always the first, or always after the same other.
            let count = places.len();
            places[(round + turn) % count].take_turn()?;
        }
        eprint!("\rround {} of {ROUNDS}", round + 1);
    }
    eprintln!();
    report(&places);
    Ok(())
}

/// A daemon with one instance of the fast engine.
struct Gateway {
    daemon: BenchDaemon,
    home: BenchHome,
    address: String,
}

impl Gateway {
    fn start(variables: &[(&str, &str)]) -> TaskResult<Self> {
        let home = BenchHome::new()?;
        let model = demo_model(&home)?;
        let engine = target_dir().join("release").join("bench-engine");
        let config = serde_json::json!({ "name": MODEL, "model": { "path": model }, "engine": { "binary": engine } });
        home.add(MODEL, &config)?;
        let mut daemon = home.serve_with(variables)?;
        daemon.ready_after()?;
        home.orch_json(&["up", MODEL])?;
        let address = home.address()?;
        Ok(Self { daemon, home, address })
    }
}

/// Writes a small model that passes every check.
pub(crate) fn demo_model(home: &BenchHome) -> TaskResult<PathBuf> {
    let model = home.path().join("demo.gguf");
    write_demo_model(&model, &DemoModel::default()).map_err(|error| format!("could not write the demo model: {error}"))?;
    Ok(model)
}

/// Something that answers, and what every round told of it.
struct Place {
    name: &'static str,
    address: String,
    pid: Option<u32>,
    p50: Vec<f64>,
    p99: Vec<f64>,
    requests_per_second: Vec<f64>,
    request_cost: Vec<f64>,
    fast_chunks_per_second: Vec<f64>,
    chunk_cost: Vec<f64>,
    chunk_delay: Vec<f64>,
    chunk_delay_p99: Vec<f64>,
    gap_p99: Vec<f64>,
    idle_kib: f64,
    stream_kib: f64,
}

impl Place {
    const fn new(name: &'static str, address: String, pid: Option<u32>) -> Self {
        Self {
            name,
            address,
            pid,
            p50: Vec::new(),
            p99: Vec::new(),
            requests_per_second: Vec::new(),
            request_cost: Vec::new(),
            fast_chunks_per_second: Vec::new(),
            chunk_cost: Vec::new(),
            chunk_delay: Vec::new(),
            chunk_delay_p99: Vec::new(),
            gap_p99: Vec::new(),
            idle_kib: 0.0,
            stream_kib: 0.0,
        }
    }

    fn take_turn(&mut self) -> TaskResult {
        let asked = client::ask(&self.address, REQUESTS)?;
        self.p50.push(asked.p50);
        self.p99.push(asked.p99);
        let before = self.processor()?;
        let load = client::load(&self.address, CONNECTIONS, LOAD_MILLIS)?;
        self.request_cost.push((self.processor()? - before) / 1e3 / load.count);
        self.requests_per_second.push(load.count / load.seconds);
        let fast = client::stream(&self.address, FAST_STREAMS, FAST_MILLIS, 0)?;
        self.fast_chunks_per_second.push(fast.count / fast.seconds);
        let before = self.processor()?;
        let paced = client::stream(&self.address, PACED_STREAMS, PACED_MILLIS, PACE_US)?;
        self.chunk_cost.push((self.processor()? - before) / 1e3 / paced.count);
        self.chunk_delay.push(paced.delay_p50);
        self.chunk_delay_p99.push(paced.delay_p99);
        self.gap_p99.push(paced.gap_p99);
        Ok(())
    }

    fn processor(&self) -> TaskResult<f64> {
        self.pid.map_or(Ok(0.0), process::processor_nanos)
    }

    /// Finds out what an open stream costs, before anything else has made room for it.
    fn look_at_memory(&mut self) -> TaskResult {
        let Some(pid) = self.pid else { return Ok(()) };
        client::ask(&self.address, 100)?;
        self.idle_kib = process::memory(pid)?.resident;
        let streams = client::start_streams(&self.address, HELD_STREAMS, HELD_MILLIS, PACE_US * 10)?;
        std::thread::sleep(Duration::from_millis(u64::from(HELD_MILLIS) * 3 / 4));
        self.stream_kib = (process::memory(pid)?.resident - self.idle_kib) / f64::from(HELD_STREAMS);
        client::finish::<client::Streams>(streams).map(|_| ())
    }
}

/// Returns by how much each round's number is above that of the round's direct way.
fn above(samples: &[f64], direct: &[f64]) -> Vec<f64> {
    samples.iter().zip(direct).map(|(sample, direct)| sample - direct).collect()
}

fn report(places: &[Place; 4]) {
    let [direct, nginx, ours, usual] = places;
    println!(
        "\n{ROUNDS} rounds in turns; medians. Directly: p50 {}, p99 {} µs, {} requests/s, {} chunks/s, delay of a chunk p50 {}, p99 {} µs, gap p99 {} µs.",
        middle(&direct.p50),
        middle(&direct.p99),
        middle(&direct.requests_per_second),
        middle(&direct.fast_chunks_per_second),
        middle(&direct.chunk_delay),
        middle(&direct.chunk_delay_p99),
        middle(&direct.gap_p99)
    );
    for ours in [ours, usual] {
        println!("\n{}:", ours.name);
        table::head("nginx");
        let (added, peer) = (above(&ours.p50, &direct.p50), above(&nginx.p50, &direct.p50));
        table::compared("1", "added to a request, p50", &added, &peer, "µs", Target::AtMost(1.0));
        let (added, peer) = (above(&ours.p99, &direct.p99), above(&nginx.p99, &direct.p99));
        table::compared("2", "added to a request, p99", &added, &peer, "µs", Target::AtMost(1.25));
        let (rate, peer) = (&ours.requests_per_second, &nginx.requests_per_second);
        table::compared("3", "requests/s, 64 connections", rate, peer, "", Target::AtLeast(1.0));
        table::compared("4", "processor time of a request", &ours.request_cost, &nginx.request_cost, "µs", Target::AtMost(1.1));
        table::compared("4", "processor time of a chunk", &ours.chunk_cost, &nginx.chunk_cost, "µs", Target::AtMost(1.1));
        table::compared(
            "5",
            "chunks/s, 16 streams at full speed",
            &ours.fast_chunks_per_second,
            &nginx.fast_chunks_per_second,
            "",
            Target::AtLeast(0.9),
        );
        let (added, peer) = (above(&ours.gap_p99, &direct.gap_p99), above(&nginx.gap_p99, &direct.gap_p99));
        table::alone("6", "added gap between chunks, p99, 200 streams of 50/s", middle_of(&added), "µs", Target::AtMost(1_000.0));
        table::compared("6", "the same", &added, &peer, "µs", Target::AtMost(1.0));
        let (added, peer) = (above(&ours.chunk_delay, &direct.chunk_delay), above(&nginx.chunk_delay, &direct.chunk_delay));
        table::note("6", "added delay of a chunk, p50", middle_of(&added), Some(middle_of(&peer)), "µs");
        table::alone("8", "memory of an open stream", ours.stream_kib, "KiB", Target::AtMost(32.0));
        table::note("8", "the same", ours.stream_kib, Some(nginx.stream_kib), "KiB");
        table::note("8", "memory after the first requests", ours.idle_kib / 1024.0, Some(nginx.idle_kib / 1024.0), "MiB");
    }
}

fn middle_of(samples: &[f64]) -> f64 {
    super::statistics::median(samples)
}

fn middle(samples: &[f64]) -> String {
    table::shown(middle_of(samples))
}
