//! Secrets that must not sing: in keys, variables, headers and prompts; and texts that want to be obeyed by a terminal or
//! to forge lines of a log.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::stage::{CHAT, daemon_of, kill_and_wait, notes};
use super::{Row, Stage};
use crate::behaviour::ExitAtStart;
use crate::http::Response;
use crate::{Behaviour, TestHome, http};

pub(super) const ROW: Row = Row {
    number: 23,
    fault: "canary secrets in keys, variables, headers, prompts; CR/LF and ANSI in prompts, model names, an engine's words",
    holds: "no canary in logs, database, events, errors, metrics, argv; nothing that a terminal obeys",
    count: 50,
    prepare,
    round,
};

/// A variable of the daemon that is none of the servers' business.
const DAEMONS_VARIABLE: &str = "HF_TOKEN";
/// A variable of one instance that its server gets.
const SERVERS_VARIABLE: &str = "UPSTREAM_API_KEY";
const STARTS: &str = "starts";
/// What stands before all canaries, so that one look finds all of them.
const SONG: &str = "canary-";
/// What a forged line of a log begins with.
const FORGED: &str = "FORGED";
/// Where secrets belong, and where the harness keeps its own.
const ALLOWED: [&str; 2] = ["state/api-key", "instances"];

fn prepare(home: &TestHome) {
    // Beyond loopback a key is demanded.
    std::fs::write(home.path().join("config.yaml"), "gateway:\n  host: 0.0.0.0\n  port: 0\n").unwrap();
    home.set_variable(DAEMONS_VARIABLE, format!("{SONG}daemon"));
    let mut config = home.config("steady", &Behaviour::default());
    config["env"][SERVERS_VARIABLE] = format!("{SONG}server").into();
    home.write_config("steady", &config);
    home.orch(&["up", "steady"]).assert_ok();
    // The key that this home demands is a canary too: it is random, and looked for by its own text.
}

fn round(stage: &mut Stage<'_>) {
    let home = stage.home;
    let endpoint = local(&home.endpoint());
    let key = std::fs::read_to_string(home.path().join("state/api-key")).unwrap().trim().to_owned();
    let noise = stage.random.next();
    let nasty = nasty(stage);
    let steady = home.pid("steady");
    let says = |pid: u32, what: &str| {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap();
        String::from_utf8_lossy(&environment).contains(what)
    };
    assert!(says(steady, &format!("{SERVERS_VARIABLE}={SONG}server")), "a server has what its configuration gives it");
    assert!(!says(steady, &format!("{DAEMONS_VARIABLE}={SONG}daemon")), "a server has a secret of ours");

    let mut answers = Vec::new();
    let requests = 3 + stage.random.below(5);
    for number in 0..requests {
        answers.push(ask(stage, &endpoint, &key, &nasty, number ^ noise));
    }
    let stats = home.stats("steady");
    assert!(!stats.last_headers.join("\n").contains(SONG) && !stats.last_headers.join("\n").contains(&key), "{:?}", stats.last_headers);
    fail_with_words(home, &nasty);
    if stage.random.below(3) == 0 {
        kill_and_wait(daemon_of(home).unwrap());
        assert_eq!(home.pid("steady"), steady);
        // The secret of a server is still its own, although nobody wrote it down.
        crate::processes::kill(steady);
        let row = home.wait_for_row("steady", "it is started again", |row| row["state"] == "ready" && row["pid"] != steady);
        let pid = row["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok()).unwrap();
        assert!(says(pid, &format!("{SERVERS_VARIABLE}={SONG}server")), "its secret was lost with the daemon");
    }
    answers.extend(everything_said(home, &key));
    for answer in &answers {
        assert_clean(answer, &key);
    }
    for file in files(home.path()) {
        let bytes = std::fs::read(&file).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains(SONG) && !text.contains(&key), "a secret stands in `{}`: {}", file.display(), around(&text, &key));
    }
    assert_log_is_ours(&home.daemon_log());
    for process in home.processes() {
        assert!(!process.command.contains(SONG) && !process.command.contains(&key), "a secret in argv: {process:?}");
    }
}

/// The daemon listens everywhere; it is asked on this machine.
fn local(endpoint: &str) -> String {
    endpoint.replace("0.0.0.0", "127.0.0.1")
}

/// A text that wants to be obeyed.
fn nasty(stage: &mut Stage<'_>) -> String {
    let pieces = ["\u{1b}[2J", "\u{1b}]0;title\u{7}", "\r", "\u{9b}31m", "\u{202e}", "\u{0}", "\u{8}\u{8}", "\u{1b}[1;31m"];
    let mut text = "begin".to_owned();
    for _ in 0..=stage.random.below(4) {
        text.push_str(pieces[stage.random.index(pieces.len())]);
    }
    text + &format!("\n{FORGED} INFO a line of somebody else\r\n")
}

/// Sends one of several requests with a secret in it, and returns what comes back.
fn ask(stage: &mut Stage<'_>, endpoint: &str, key: &str, nasty: &str, number: u64) -> String {
    let secret = format!("{SONG}{number}");
    let right = format!("Bearer {key}");
    let body = |model: &str| json!({ "model": model, "messages": [{ "role": "user", "content": format!("{nasty} {secret}") }] });
    let send = |path: &str, headers: &[(&str, &str)], body: &str| {
        let headers: Vec<_> = [("content-type", "application/json")].into_iter().chain(headers.iter().copied()).collect();
        shown(http::send_with(endpoint, "POST", path, &headers, body.as_bytes()).unwrap())
    };
    match stage.random.below(8) {
        // A good one.
        0 | 1 => send(CHAT, &[("authorization", &right), ("cookie", &secret), ("x-api-key", &secret)], &body("steady").to_string()),
        // A wrong key.
        2 => send(CHAT, &[("authorization", &format!("Bearer {secret}"))], &body("steady").to_string()),
        // A key in the address, where it does not belong.
        3 => send(&format!("{CHAT}?api_key={secret}"), &[("authorization", &right)], &body("steady").to_string()),
        // A body that breaks off, with a secret just before.
        4 => {
            let text = body("steady").to_string();
            send(CHAT, &[("authorization", &right)], &text[..text.len() - 2])
        }
        // A name that nobody has.
        5 => send(CHAT, &[("authorization", &right)], &body(&format!("no{nasty}")).to_string()),
        // A body of another shape.
        6 => send(CHAT, &[("authorization", &right)], &json!([secret]).to_string()),
        // A route that is not there.
        _ => send(&format!("/v1/nowhere?token={secret}"), &[("authorization", &right)], &body("steady").to_string()),
    }
}

fn shown(answer: Response) -> String {
    let head = format!("{} {:?}", answer.status, answer.headers);
    format!("{head} {}", answer.text().unwrap_or_default())
}

/// Lets an engine fail with these words.
fn fail_with_words(home: &TestHome, nasty: &str) {
    let end = ExitAtStart { status: 3, stderr: format!("it failed: {nasty}\n") };
    let behaviour = Behaviour { exit_at_start: Some(end), starts_file: Some(home.path().join(STARTS)), ..Behaviour::default() };
    let mut config = home.config("nasty", &behaviour);
    // Its words stand in a file, as what is to be written there does not fit a variable.
    let words = home.path().join("instances/nasty.words");
    std::fs::write(&words, config["env"][crate::behaviour::VARIABLE].as_str().unwrap()).unwrap();
    config["env"][crate::behaviour::VARIABLE] = words.to_string_lossy().into();
    config["restart_policy"] = json!({ "enabled": false });
    home.write_config("nasty", &config);
    let outcome = home.orch(&["up", "nasty"]);
    assert_ne!(outcome.status, 0, "{outcome:#?}");
    assert!(outcome.stderr.contains("it failed"), "the last words are missing: {outcome:#?}");
    assert_clean(&outcome.stderr, "no key");
    assert!(!notes(home, STARTS).is_empty());
}

/// All that is told about a home, by the program and over the wire.
fn everything_said(home: &TestHome, key: &str) -> Vec<String> {
    let mut said = Vec::new();
    for arguments in [
        &["ps"][..],
        &["ps", "--json"],
        &["describe", "nasty"],
        &["describe", "steady"],
        &["describe", "steady", "--json"],
        &["describe", "nasty", "--json"],
        &["events", "--tail", "1000"],
        &["events", "--tail", "1000", "--json"],
        &["health"],
        &["logs", "nasty"],
        &["logs", "nasty", "--json"],
        &["doctor"],
        &["daemon", "status"],
        &["config", "validate"],
    ] {
        let outcome = home.orch(arguments);
        said.push(format!("{}\n{}", outcome.stdout, outcome.stderr));
    }
    let endpoint = local(&home.endpoint());
    let bearer = format!("Bearer {key}");
    for path in ["/api/v1/instances", "/api/v1/status", "/api/v1/operations", "/v1/models", "/health", "/metrics"] {
        said.push(shown(http::send_with(&endpoint, "GET", path, &[("authorization", &bearer)], b"").unwrap()));
    }
    said
}

/// Nothing in it is a secret, or would be obeyed by a terminal.
#[track_caller]
fn assert_clean(text: &str, key: &str) {
    assert!(!text.contains(SONG) && !text.contains(key), "a secret is told: {}", around(text, key));
    let obeyed = |character: &char| {
        let is_line_end = ['\n', '\t'].contains(character);
        (character.is_control() && !is_line_end) || matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let found: Vec<char> = text.chars().filter(obeyed).collect();
    assert!(found.is_empty(), "a terminal would obey {found:?} in {text}");
}

/// Every line of the log begins like one of ours, and no terminal obeys it.
#[track_caller]
fn assert_log_is_ours(log: &str) {
    assert!(!log.chars().any(|character| character.is_control() && !['\n', '\t'].contains(&character)), "the log holds control characters");
    for line in log.lines() {
        let begins_with_a_year = line.chars().take(4).all(|character| character.is_ascii_digit());
        assert!(begins_with_a_year, "a line of the log is not ours: {line}");
    }
}

/// What stands around the first secret.
fn around(text: &str, key: &str) -> String {
    let at = text.find(SONG).or_else(|| text.find(key)).unwrap_or_default();
    let characters: Vec<char> = text.chars().collect();
    let at = text.get(..at).map_or(0, |before| before.chars().count());
    characters[at.saturating_sub(200)..(at + 100).min(characters.len())].iter().collect()
}

/// All files of a home but for those in which secrets may stand.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(&next).into_iter().flatten().flatten() {
            let path = entry.path();
            if ALLOWED.iter().any(|allowed| path == folder.join(allowed)) {
                continue;
            }
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(path),
                Ok(kind) if kind.is_file() => found.push(path),
                _ => {}
            }
        }
    }
    found
}
