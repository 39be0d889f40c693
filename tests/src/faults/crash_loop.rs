//! An engine that ends again and again.

use std::time::Duration;

use serde_json::json;

use super::observe::processor_time;
use super::stage::{daemon_of, notes, pause, wait_for};
use super::{Row, Stage};
use crate::Behaviour;
use crate::behaviour::ExitAtStart;

pub(super) const ROW: Row = Row {
    number: 5,
    fault: "a crash loop: exits and aborts after 0–80 ms",
    holds: "delays double up to the longest, the cause and the last words are told, it is given up at last",
    count: 500,
    prepare: |_| {},
    round,
};

const RETRIES: u32 = 5;
const FIRST_DELAY: u32 = 30;
const LONGEST_DELAY: u32 = 200;

fn round(stage: &mut Stage<'_>) {
    let home = stage.home;
    let starts_file = home.path().join("starts");
    let _ = std::fs::remove_file(&starts_file);
    let lifetime = stage.random.below(80);
    let word = format!("word-{}", stage.random.next());
    let aborts = stage.random.below(3) == 0;
    let behaviour = if aborts {
        Behaviour { load_ms: 0, crash_after_ms: Some(lifetime), starts_file: Some(starts_file), ..Behaviour::default() }
    } else {
        let end =
            ExitAtStart { status: u8::try_from(2 + stage.random.below(100)).unwrap(), stderr: format!("an odd thing happened: {word}\n") };
        Behaviour { exit_at_start: Some(end), exit_after_ms: lifetime, starts_file: Some(starts_file), ..Behaviour::default() }
    };
    let mut config = home.config("demo", &behaviour);
    config["restart_policy"] = json!({
        "max_retries": RETRIES, "initial_delay": format!("{FIRST_DELAY}ms"), "max_delay": format!("{LONGEST_DELAY}ms"),
    });
    home.write_config("demo", &config);
    let endpoint = home.endpoint();
    let daemon = daemon_of(home).unwrap();
    let before = processor_time(daemon);
    home.orch(&["up", "--no-wait", "demo"]).assert_ok();
    // Asking costs the daemon time as well.
    let delays: u32 = (0..RETRIES).map(|retry| (FIRST_DELAY << retry).min(LONGEST_DELAY)).sum();
    pause(Duration::from_millis(delays.into()) + Duration::from_millis(lifetime + 50) * (RETRIES + 1));
    let found = wait_for(&endpoint, "demo", "it is given up", |found| found["summary"]["state"] == "failed");
    stage.timed("processor time of the daemon for each crash", None, processor_time(daemon).saturating_sub(before) / (RETRIES + 1));
    let failure = &found["state"]["failure"]["detail"];
    if aborts {
        assert_eq!(failure["cause"]["name"], "SIGABRT", "{found:#}");
        assert!(failure["stderr_tail"].to_string().contains("GGML_ASSERT"), "{found:#}");
    } else {
        assert_eq!(failure["cause"]["kind"], "status", "{found:#}");
        assert!(failure["stderr_tail"].to_string().contains(&word), "the last words are missing: {found:#}");
    }
    assert_eq!(found["summary"]["restarts"], RETRIES, "{found:#}");
    let starts: Vec<u64> = notes(home, "starts").iter().map(|line| line.split(' ').nth(1).unwrap().parse().unwrap()).collect();
    assert_eq!(starts.len(), RETRIES as usize + 1, "{starts:?}");
    for (retry, pair) in (0u32..).zip(starts.windows(2)) {
        let delay = Duration::from_millis((FIRST_DELAY << retry).min(LONGEST_DELAY).into());
        let waited = Duration::from_micros(pair[1] - pair[0]);
        assert!(waited >= delay, "retry {retry} came after {waited:?}, and its delay is {delay:?}");
        // A tenth is jitter, and the engine lives a while.
        stage.timed("longer than its delay", None, waited.saturating_sub(delay + delay / 10 + Duration::from_millis(lifetime)));
    }
}
