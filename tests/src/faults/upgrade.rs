//! The daemon is replaced while clients work: on new connections, on kept ones, on streams, and waiting for a model
//! that is just being started. In some of the rounds the successor or the one before it is killed on the way, or the
//! successor cannot come up at all.

use std::io::Write as _;
use std::net::{Shutdown, TcpStream};
use std::process::Stdio;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::observe::assert_store_is_sound;
use super::random::Random;
use super::stage::{CHAT, chat, chat_body, daemon_of, describe, engines, newest_event, pause, pid_in, timing, wait_ready};
use super::{Row, Stage};
use crate::home::SOON;
use crate::http::Response;
use crate::processes::{is_alive, kill};
use crate::{Behaviour, TestHome, http, wait_until};

pub(super) const ROW: Row = Row {
    number: 24,
    fault: "the daemon is replaced under load, and some of the successors fail",
    holds: "nothing refused, no stream broken, servers keep their pids, one owner",
    count: 100,
    prepare,
    round,
};

const QUICK: &str = "quick";
const TALKER: &str = "talker";
const SLEEPER: &str = "sleeper";
/// How many clients of each kind there are.
const CLIENTS: usize = 3;
/// The status of a command whose configuration cannot be used.
const CONFIG_INVALID: u8 = 10;

fn prepare(home: &TestHome) {
    home.add(QUICK, &Behaviour { chunks: 1, ..Behaviour::default() });
    home.add(TALKER, &Behaviour { chunks: 40, chunk_ms: 15, ..Behaviour::default() });
    home.add(SLEEPER, &Behaviour { chunks: 1, load_ms: 400, ..Behaviour::default() });
    home.orch(&["up", QUICK, TALKER]).assert_ok();
}

/// What happens on the way.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Plan {
    Nothing,
    SuccessorKilled,
    PredecessorKilled,
    ConfigBroken,
}

/// What clients saw that they should not have seen.
type Complaints = Mutex<Vec<String>>;

fn round(stage: &mut Stage<'_>) {
    let home = stage.home;
    let endpoint = home.endpoint();
    let before = [QUICK, TALKER].map(|name| (name, wait_ready(&endpoint, name)));
    let first = daemon_of(home).unwrap();
    if describe(&endpoint, SLEEPER)["summary"]["state"] != "stopped" {
        home.orch(&["down", SLEEPER]).assert_ok();
    }
    let plan = match stage.random.below(10) {
        0 => Plan::SuccessorKilled,
        1 => Plan::PredecessorKilled,
        2 => Plan::ConfigBroken,
        _ => Plan::Nothing,
    };
    let (lead, kill_after) = (stage.random.up_to_ms(300), stage.random.up_to_ms(120));
    let randoms: Vec<_> = (0..CLIENTS * 3).map(|_| stage.random.fork()).collect();
    let ending = AtomicBool::new(false);
    let complaints = Complaints::default();
    let followed = AtomicU64::new(newest_event(&endpoint));
    let (took, answered) = thread::scope(|scope| {
        let (endpoint, ending, complaints, followed) = (endpoint.as_str(), &ending, &complaints, &followed);
        let events =
            http::send(endpoint, "GET", &format!("/api/v1/events?follow=true&after={}", followed.load(Ordering::SeqCst)), b"").unwrap();
        let connection = events.connection().unwrap();
        scope.spawn(move || follow(events, followed, ending, complaints));
        let clients: Vec<_> = randoms
            .into_iter()
            .enumerate()
            .map(|(number, random)| {
                scope.spawn(move || match number % 3 {
                    0 => ask_anew(endpoint, random, ending, complaints),
                    1 => ask_on(endpoint, random, ending, complaints),
                    _ => listen(endpoint, ending, complaints),
                })
            })
            .collect();
        pause(lead);
        let sleeper = scope.spawn(move || wake(endpoint, complaints));
        let ((), took) = timing(|| replace(home, plan, first, kill_after));
        sleeper.join().unwrap();
        // Everybody meets the one that serves now.
        pause(Duration::from_millis(200));
        if plan == Plan::Nothing {
            let newest = newest_event(endpoint);
            wait_until("the events are followed", SOON, || (followed.load(Ordering::SeqCst) >= newest).then_some(()));
        }
        ending.store(true, Ordering::SeqCst);
        connection.shutdown(Shutdown::Both).unwrap_or_default();
        let answered: u32 = clients.into_iter().map(|client| client.join().unwrap()).sum();
        (took, answered)
    });
    let owner = daemon_of(home);
    // Whoever was killed while it served broke what it answered.
    let is_cut = match plan {
        Plan::Nothing | Plan::ConfigBroken => false,
        Plan::SuccessorKilled => owner != Some(first),
        Plan::PredecessorKilled => true,
    };
    let complaints = complaints.into_inner().unwrap();
    assert!(is_cut || complaints.is_empty(), "{plan:?}: {complaints:#?}");
    assert!(is_cut || answered > 0);
    match plan {
        Plan::Nothing => {
            assert!(owner.is_some_and(|owner| owner != first), "{owner:?} and not another one than {first}");
            stage.timed("replaced", None, took);
        }
        Plan::ConfigBroken => assert_eq!(owner, Some(first)),
        Plan::SuccessorKilled | Plan::PredecessorKilled => {}
    }
    let after = home.endpoint();
    // The port of a test is any free one: it is kept only where somebody keeps it.
    assert!(is_cut || after == endpoint, "clients find another address: {after}");
    let endpoint = after;
    for (name, pid) in before {
        assert_eq!(wait_ready(&endpoint, name), pid, "`{name}` has another server");
    }
    let sleeper = wait_until("the sleeper is awake or asleep", SOON, || {
        let found = describe(&endpoint, SLEEPER);
        ["ready", "stopped"].contains(&found["summary"]["state"].as_str().unwrap()).then(|| pid_in(&found))
    });
    let mut known: Vec<u32> = before.into_iter().map(|(_, pid)| pid).chain(sleeper).collect();
    known.sort_unstable();
    let running = || {
        let mut running = engines(home);
        running.sort_unstable();
        running
    };
    wait_until(&format!("only the known servers {known:?} run"), SOON, || (running() == known).then_some(()));
    assert_store_is_sound(home);
    let owner = daemon_of(home);
    wait_until("whoever was replaced is gone", SOON, || (owner == Some(first) || !is_alive(first)).then_some(()));
    let left = std::fs::read_dir(home.path().join("state/draining")).map_or(0, Iterator::count);
    assert!(left == 0 || plan != Plan::Nothing, "a note was left behind");
}

fn replace(home: &TestHome, plan: Plan, first: u32, kill_after: Duration) {
    match plan {
        Plan::Nothing => {
            home.orch(&["daemon", "restart"]).assert_ok();
        }
        Plan::ConfigBroken => {
            let file = home.path().join("config.yaml");
            let good = std::fs::read_to_string(&file).unwrap();
            std::fs::write(&file, "gateway:\n  prot: 0\n").unwrap();
            home.orch(&["daemon", "restart"]).assert_fails(CONFIG_INVALID, &["prot"]);
            std::fs::write(&file, good).unwrap();
        }
        Plan::SuccessorKilled | Plan::PredecessorKilled => {
            let mut command = home.command(&["daemon", "restart"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            let successor = wait_until("there is a successor", SOON, || {
                let found = home.processes().into_iter().find(|process| process.command.contains("--take-over") && process.pid != first);
                // It may have failed or succeeded already.
                found.map(|process| Some(process.pid)).or_else(|| command.try_wait().unwrap().map(|_| None))
            });
            pause(kill_after);
            kill(if plan == Plan::PredecessorKilled { first } else { successor.unwrap_or(first) });
            command.wait().unwrap();
            // Nobody may be left; then this starts one.
            home.orch(&["ps"]).assert_ok();
        }
    }
}

/// Asks for a short answer over a new connection, again and again.
fn ask_anew(endpoint: &str, mut random: Random, ending: &AtomicBool, complaints: &Complaints) -> u32 {
    let mut answered = 0;
    while !ending.load(Ordering::SeqCst) {
        let body = chat_body(QUICK, "anew", false).to_string();
        match http::send(endpoint, "POST", CHAT, body.as_bytes()).and_then(|answer| Ok((answer.status, answer.text()?))) {
            Ok((200, _)) => answered += 1,
            outcome => complaints.lock().unwrap().push(format!("on a new connection: {outcome:?}")),
        }
        pause(random.up_to_ms(20));
    }
    answered
}

/// Asks over a connection that is kept for as long as the daemon keeps it.
fn ask_on(endpoint: &str, mut random: Random, ending: &AtomicBool, complaints: &Complaints) -> u32 {
    let mut answered = 0;
    let mut kept = None;
    while !ending.load(Ordering::SeqCst) {
        let (method, path, body) = match random.below(3) {
            0 => ("GET", "/v1/models", String::new()),
            1 => ("GET", "/api/v1/instances", String::new()),
            _ => ("POST", CHAT, chat_body(QUICK, "on", false).to_string()),
        };
        match ask_once(endpoint, &mut kept, (method, path, &body)) {
            Ok(()) => answered += 1,
            Err(error) => {
                kept = None;
                complaints.lock().unwrap().push(format!("on a kept connection: {method} {path}: {error}"));
            }
        }
        pause(random.up_to_ms(20));
    }
    answered
}

fn ask_once(endpoint: &str, kept: &mut Option<TcpStream>, (method, path, body): (&str, &str, &str)) -> std::io::Result<()> {
    let authority = endpoint.trim_start_matches("http://");
    let mut stream = match kept.take() {
        Some(stream) => stream,
        None => TcpStream::connect(authority)?,
    };
    stream.set_read_timeout(Some(SOON))?;
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: {authority}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(format!("{head}{body}").as_bytes())?;
    let answer = http::read_head(stream.try_clone()?)?;
    let is_last = answer.header("connection").is_some_and(|value| value.contains("close"));
    let status = answer.status;
    let text = answer.text()?;
    if status != 200 {
        return Err(std::io::Error::other(format!("{status}: {text}")));
    }
    *kept = (!is_last).then_some(stream);
    Ok(())
}

/// Reads one stream after the other, each to its end.
fn listen(endpoint: &str, ending: &AtomicBool, complaints: &Complaints) -> u32 {
    let mut answered = 0;
    while !ending.load(Ordering::SeqCst) {
        match chat(endpoint, TALKER, "stream", true).and_then(|answer| Ok((answer.status, answer.text()?))) {
            Ok((200, text)) if is_whole(&text) => answered += 1,
            outcome => complaints.lock().unwrap().push(format!("on a stream: {outcome:?}")),
        }
    }
    answered
}

fn is_whole(text: &str) -> bool {
    let events = http::events(text);
    let is_piece = |event: &&&str| serde_json::from_str::<Value>(event).is_ok_and(|event| event.get("error").is_none());
    events.last() == Some(&"[DONE]") && events.iter().filter(is_piece).count() == 41
}

/// Follows the events over one connection: none may be missing, and none may come twice.
fn follow(mut events: Response, followed: &AtomicU64, ending: &AtomicBool, complaints: &Complaints) {
    let complain = |what: String| {
        if !ending.load(Ordering::SeqCst) {
            complaints.lock().unwrap().push(format!("following events: {what}"));
        }
    };
    let mut text = String::new();
    loop {
        match events.next_piece() {
            Ok(Some(piece)) => text.push_str(&String::from_utf8_lossy(&piece)),
            outcome => return complain(format!("{outcome:?}")),
        }
        while let Some((event, rest)) = text.split_once("\n\n") {
            let number = event.lines().find_map(|line| line.strip_prefix("id: ")?.parse().ok());
            if let Some(number) = number {
                let before = followed.swap(number, Ordering::SeqCst);
                if number != before + 1 {
                    complain(format!("{number} came after {before}"));
                }
            }
            text = rest.to_owned();
        }
    }
}

/// Asks for what has to be started first.
fn wake(endpoint: &str, complaints: &Complaints) {
    match chat(endpoint, SLEEPER, "wake", false).and_then(|answer| Ok((answer.status, answer.text()?))) {
        Ok((200, _)) => {}
        outcome => complaints.lock().unwrap().push(format!("waiting for a start: {outcome:?}")),
    }
}
