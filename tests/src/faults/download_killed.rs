//! A daemon that is killed at random bytes of a download.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::pulls::{
    Shop, assert_no_parts, assert_nothing_unverified, assert_tokens_stayed, begin, ended, files_below, hub_of, installed, open_hub, remove,
    status, weights,
};
use super::stage::{EndAtLast, daemon_of, kill_and_wait, pause, timing};
use super::{Row, Stage};
use crate::TestHome;
use crate::hub::{Content, Hub, Limits};

pub(super) const ROW: Row = Row {
    number: 11,
    fault: "kill -9 of the daemon at random bytes of a download of 64 MiB, one to four times, now and then twenty",
    holds: "the digest is right, at most 8 MiB are fetched again for each kill, nothing is visible before it is verified",
    count: 200,
    prepare,
    round,
};

const SIZE: u64 = 64 << 20;
/// What may be fetched again for each kill.
const AGAIN: u64 = 8 << 20;
/// One round of so many kills the daemon twenty times.
const LONG_SERIES: u64 = 20;
/// How long a download may take, all kills included.
const LIMIT: Duration = Duration::from_mins(2);

fn prepare(home: &TestHome) {
    open_hub(home);
    home.hold(weights(11, SIZE));
    home.orch(&["daemon", "start"]).assert_ok();
}

fn round(stage: &mut Stage<'_>) {
    let home = stage.home;
    let (hub, content): (Hub, Content) = (hub_of(home), home.held().unwrap());
    let shop = *stage.random.pick(&[Shop::HuggingFace, Shop::HuggingFace, Shop::Ollama]);
    let reference = shop.offer(&hub, &format!("m{:x}", stage.random.next()), &content);
    // Little is under way, so that what went out was asked for by somebody who lived.
    let rate = (80 + stage.random.below(240)) << 20;
    hub.limit(Limits { total: Some(rate), send_buffer: Some(64 << 10), ..Limits::default() });
    hub.forget_seen();
    let mut endpoint = home.endpoint();
    let id = begin(&endpoint, &reference).unwrap_or_else(|problem| panic!("{problem:#}"));
    let (kills, apart) = if stage.random.below(LONG_SERIES) == 0 { (20, SIZE / 12) } else { (1 + stage.random.below(4), SIZE) };
    let ending = AtomicBool::new(false);
    let killed = thread::scope(|scope| {
        let _ends = EndAtLast(&ending);
        let watcher = scope.spawn(|| watch(home, &content, &ending));
        let mut killed = 0;
        for _ in 0..kills {
            if !wait_for_bytes(&hub, &endpoint, &id, stage.random.below(apart)) {
                break;
            }
            // Wherever it is then, also between two files.
            pause(stage.random.up_to_ms(20));
            kill_and_wait(daemon_of(home).unwrap());
            killed += 1;
            assert_nothing_unverified(home, &content);
            let (address, took) = timing(|| home.endpoint());
            endpoint = address;
            stage.timed("serving again", None, took);
        }
        let end = ended(&endpoint, &id, LIMIT);
        assert_eq!(end["status"], "succeeded", "{end:#}");
        ending.store(true, Ordering::SeqCst);
        watcher.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        killed
    });
    assert!(assert_nothing_unverified(home, &content) >= 1, "nothing is there");
    assert!(installed(&endpoint).contains(&reference), "{:?}", installed(&endpoint));
    assert_no_parts(home);
    assert_tokens_stayed(&hub);
    let small: u64 = 64 << 10;
    let again = hub.bytes_sent("").saturating_sub(SIZE);
    assert!(again <= killed * AGAIN + small, "{again} bytes were fetched again after {killed} kills");
    if let Some(each) = again.checked_div(killed) {
        stage.weighed("fetched again for each kill", AGAIN, each);
    }
    remove(&endpoint, &reference);
    assert_eq!(assert_nothing_unverified(home, &content), 0, "it is still there");
}

/// Waits until so many bytes more went out; returns whether the download is still under way then.
fn wait_for_bytes(hub: &Hub, endpoint: &str, id: &str, more: u64) -> bool {
    let wanted = hub.bytes_sent("") + more;
    loop {
        if status(endpoint, id)["status"] != "running" {
            return false;
        }
        if hub.bytes_sent("") >= wanted {
            return true;
        }
        pause(Duration::from_millis(1));
    }
}

/// Looks all the time for a file that is visible; the first one must be whole and right.
fn watch(home: &TestHome, content: &Content, ending: &AtomicBool) {
    let is_it = |path: &Path| path.to_string_lossy().ends_with(content.sha256());
    while !ending.load(Ordering::SeqCst) {
        if files_below(home.path()).iter().any(|path| is_it(path)) {
            assert_nothing_unverified(home, content);
            return;
        }
        pause(Duration::from_millis(1));
    }
}
