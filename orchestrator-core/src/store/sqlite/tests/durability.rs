//! What was acknowledged survives a SIGKILL: this test binary starts itself as the one that is killed.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::*;

const DATABASE: &str = "ORCHESTRATOR_TEST_DURABILITY_DATABASE";
const ROUNDS: u64 = 20;

/// Writes numbers until it is killed, several at a time, and prints each one once it is acknowledged.
async fn write_numbers(path: &Path) {
    let (store, _) = SqliteStore::open(path).unwrap();
    let store = Arc::new(store);
    let first = store.last_events(None, 1).await.unwrap().last().map_or(0, |event| event.sequence);
    let mut number = first * 1_000_000;
    loop {
        let mut puts = tokio::task::JoinSet::new();
        for _ in 0..7 {
            number += 1;
            let store = Arc::clone(&store);
            puts.spawn(async move {
                store.put(&number.to_string(), "x".repeat(usize::try_from(number % 5_000).unwrap())).await.unwrap();
                let events = store.append_events(drafts(1)).await.unwrap();
                // One write each, so that a line is whole or absent.
                #[expect(clippy::print_stdout, reason = "the parent reads it")]
                {
                    println!("acknowledged {number} {}", events[0].sequence);
                }
            });
        }
        puts.join_all().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_acknowledged_change_survives_sigkill() {
    if let Some(path) = std::env::var_os(DATABASE) {
        return write_numbers(Path::new(&path)).await;
    }
    let home = Home::new();
    let mut acknowledged = Vec::new();
    for round in 0..ROUNDS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "store::sqlite::tests::durability::every_acknowledged_change_survives_sigkill", "--nocapture"])
            .env(DATABASE, home.database())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // A different instant in each round, and always after something was acknowledged.
        let wait = Duration::from_micros(500 + (round * 7_919) % 40_000);
        let mut killer = None;
        for line in &mut lines {
            let line = line.unwrap();
            let Some((_, numbers)) = line.split_once("acknowledged ") else { continue };
            let (number, sequence) = numbers.split_once(' ').unwrap();
            acknowledged.push((number.to_owned(), sequence.parse::<u64>().unwrap()));
            if killer.is_none() {
                let pid = rustix::process::Pid::from_child(&child);
                killer = Some(std::thread::spawn(move || {
                    std::thread::sleep(wait);
                    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
                }));
            }
        }
        let killer = killer.unwrap_or_else(|| panic!("round {round}: the child acknowledged nothing"));
        killer.join().unwrap();
        child.wait().unwrap();

        let (store, outcome) = home.open_with_outcome();
        assert_eq!(outcome, OpenOutcome::Opened, "round {round}");
        let sequences: std::collections::HashSet<_> =
            store.events_after(0, usize::MAX).await.unwrap().iter().map(|event| event.sequence).collect();
        for (number, sequence) in &acknowledged {
            assert!(store.get(number).await.unwrap().is_some(), "round {round}: {number} is lost");
            assert!(sequences.contains(sequence), "round {round}: event {sequence} is lost");
        }
        assert!(store.check().await.unwrap().is_empty(), "round {round}");
    }
}
