//! Fetching a model: ours beside curl and `huggingface_hub`, from one hub on this machine, in turns; and what each
//! fetches again when it is killed at nine tenths.
//!
//! Ours verifies what it fetched and syncs it to the disk; curl does neither, so its time is compared as that of whoever
//! is slower, curl or a SHA-256 alone.

mod clients;
mod hub;

use std::time::{Duration, Instant};

use super::ROUNDS;
use super::home::BenchHome;
use super::table::{self, Target};
use crate::shell::TaskResult;
use clients::{Client, Clients};
use hub::{BenchHub, Speed};

/// What is fetched as fast as can be.
const LARGE: u64 = 256 << 20;
/// What is fetched at a limited speed.
const SMALL: u64 = 48 << 20;
/// How fast a connection is then.
const PER_CONNECTION: u64 = 12 << 20;
/// How fast the hub is while somebody is killed.
const WHILE_KILLED: u64 = 200 << 20;
/// How often that is tried.
const KILLS: usize = 5;
/// Nobody takes longer to get where he is killed.
const LIMIT: Duration = Duration::from_mins(1);

pub(crate) fn run() -> TaskResult {
    super::build_release()?;
    let hub = BenchHub::start(&[("bench/large", LARGE), ("bench/small", SMALL)])?;
    let home = BenchHome::new()?;
    let clients = Clients::prepare(&home, &hub)?;
    let mut daemon = home.serve_with(&clients.variables())?;
    daemon.ready_after()?;
    table::head("the other");
    let speed = |per_connection| Speed { per_connection, ..Speed::default() };
    compare(&hub, &clients, "256 MiB, unlimited", "bench/large", LARGE, speed(None))?;
    compare(&hub, &clients, "48 MiB, 12 MiB/s for each connection", "bench/small", SMALL, speed(Some(PER_CONNECTION)))?;
    daemon.stop()?;
    fetched_again(&home, &hub, &clients)
}

/// Lets all of them fetch the same, in turns.
fn compare(hub: &BenchHub, clients: &Clients<'_>, what: &str, model: &str, size: u64, speed: Speed) -> TaskResult {
    hub.limit(speed)?;
    let [mut ours, mut curl, mut python, mut floor] = [const { Vec::new() }; 4];
    for round in 0..=ROUNDS {
        let order = [Client::Ours, Client::Curl, Client::Python];
        for turn in 0..order.len() {
            let client = order[(round + turn) % order.len()];
            let rate = rate(size, clients.fetch(client, model)?);
            // The first round warms up, and the hub learns its digests.
            if round > 0 {
                match client {
                    Client::Ours => &mut ours,
                    Client::Curl => &mut curl,
                    Client::Python => &mut python,
                }
                .push(rate);
            }
        }
        let hashing = rate(size, clients.hash(model)?);
        if let Some(curl) = curl.last() {
            floor.push(hashing.min(*curl));
        }
        clients.forget(model)?;
    }
    table::compared("12", &format!("{what}; the other is the slower of curl and SHA-256"), &ours, &floor, "MB/s", Target::AtLeast(0.95));
    table::compared("12", &format!("{what}; the other is huggingface_hub"), &ours, &python, "MB/s", Target::AtLeast(1.0));
    table::note("12", &format!("{what}; curl alone"), super::statistics::median(&ours), Some(super::statistics::median(&curl)), "MB/s");
    Ok(())
}

/// Kills ours and Python's at nine tenths, lets each go on, and counts what came twice.
fn fetched_again(home: &BenchHome, hub: &BenchHub, clients: &Clients<'_>) -> TaskResult {
    hub.limit(Speed { total: Some(WHILE_KILLED), send_buffer: Some(64 << 10), ..Speed::default() })?;
    let (mut ours, mut python) = (Vec::new(), Vec::new());
    for _ in 0..KILLS {
        hub.forget()?;
        let mut daemon = home.serve_with(&clients.variables())?;
        daemon.ready_after()?;
        clients.begin_ours("bench/large")?;
        wait_for_nine_tenths(hub)?;
        daemon.stop()?;
        let mut daemon = home.serve_with(&clients.variables())?;
        daemon.ready_after()?;
        clients.fetch(Client::Ours, "bench/large")?;
        ours.push(mib(hub.sent()?.saturating_sub(LARGE)));
        clients.forget("bench/large")?;
        daemon.stop()?;
        hub.forget()?;
        let mut child = clients.begin_python("bench/large")?;
        wait_for_nine_tenths(hub)?;
        child.kill().and_then(|()| child.wait()).map_err(|error| format!("could not end Python: {error}"))?;
        clients.fetch(Client::Python, "bench/large")?;
        python.push(mib(hub.sent()?.saturating_sub(LARGE)));
        clients.forget_python()?;
    }
    table::compared(
        "12",
        "fetched again after a kill at 90 % of 256 MiB; the other is huggingface_hub",
        &ours,
        &python,
        "MiB",
        Target::AtMost(0.05),
    );
    Ok(())
}

fn wait_for_nine_tenths(hub: &BenchHub) -> TaskResult {
    let begun = Instant::now();
    while hub.sent()? < LARGE / 10 * 9 {
        if begun.elapsed() > LIMIT {
            return Err("nobody fetched nine tenths in time".to_owned());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "sizes of some hundred megabytes")]
fn rate(size: u64, took: Duration) -> f64 {
    size as f64 / 1e6 / took.as_secs_f64()
}

#[expect(clippy::cast_precision_loss, reason = "sizes of some hundred megabytes")]
fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
