//! The database or its write-ahead log is damaged while nobody looks.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::Duration;

use super::observe::{assert_store_is_sound, database};
use super::random::Random;
use super::stage::{daemon_of, describe, engines, kill_and_wait, pid_in, timing, wait_ready};
use super::{Row, Stage};
use crate::{Behaviour, TestHome};

pub(super) const ROW: Row = Row {
    number: 10,
    fault: "a damaged, cut or lost database or write-ahead log",
    holds: "read, or put aside and made anew; every server found again with its pid, what was stopped stays so",
    count: 1_000,
    prepare,
    round,
};

const RUNNING: [&str; 2] = ["a", "b"];
const STOPPED: &str = "c";

fn prepare(home: &TestHome) {
    for name in [RUNNING[0], RUNNING[1], STOPPED] {
        home.add(name, &Behaviour::default());
    }
    home.orch(&["up", "a", "b", "c"]).assert_ok();
    home.orch(&["down", STOPPED]).assert_ok();
}

fn round(stage: &mut Stage<'_>) {
    let home = stage.home;
    // Something to write since the last round, so that the log holds more than the start of a daemon.
    for _ in 0..stage.random.below(4) {
        home.orch(&["restart", *stage.random.pick(&RUNNING)]).assert_ok();
    }
    let pids = RUNNING.map(|name| home.pid(name));
    kill_and_wait(daemon_of(home).unwrap());
    let what = damage(&database(home.path()), &mut stage.random);
    let (outcome, took) = timing(|| home.orch(&["ps"]));
    assert_eq!(outcome.status, 0, "{what}: {outcome:#?}");
    stage.timed("serving again", Duration::from_secs(2), took);
    let endpoint = home.endpoint();
    for (name, pid) in RUNNING.into_iter().zip(pids) {
        assert_eq!(wait_ready(&endpoint, name), pid, "{what}: `{name}` is another server: {}", home.daemon_log());
    }
    let stopped = describe(&endpoint, STOPPED);
    assert_eq!(stopped["summary"]["state"], "stopped", "{what}: {stopped:#}");
    assert_eq!(pid_in(&stopped), None);
    assert_eq!(engines(home).len(), RUNNING.len(), "{what}: one server for each");
    let aside = put_aside(home);
    if !aside.is_empty() {
        let events = home.orch(&["events", "--tail", "100"]).assert_ok().stdout;
        assert!(events.contains("database"), "{what}: nobody was told: {events}");
    }
    assert_store_is_sound(home);
    for file in aside {
        std::fs::remove_file(file).unwrap();
    }
}

fn put_aside(home: &TestHome) -> Vec<std::path::PathBuf> {
    let files = std::fs::read_dir(home.path().join("state")).unwrap().flatten().map(|file| file.path());
    files.filter(|path| path.to_string_lossy().contains("corrupt")).collect()
}

/// Damages one of the files, and returns what was done. What a cut log held is gone without a trace; what runs is
/// found by its marks then.
fn damage(database: &Path, random: &mut Random) -> String {
    let log = database.with_extension("sqlite-wal");
    let is_log = random.below(2) == 0 && std::fs::metadata(&log).is_ok_and(|log| log.len() > 0);
    let path = if is_log { &log } else { database };
    let size = std::fs::metadata(path).unwrap().len();
    let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
    let at = random.below(size);
    let what = match random.below(7) {
        0 | 1 => {
            let mut byte = [0];
            file.read_exact_at(&mut byte, at).unwrap();
            byte[0] ^= 1 << random.below(8);
            file.write_all_at(&byte, at).unwrap();
            format!("a bit at {at}")
        }
        2 => {
            let noise: Vec<u8> = (0..=random.below(600)).map(|_| random.next().to_le_bytes()[0]).collect();
            file.write_all_at(&noise, at).unwrap();
            format!("{} bytes of noise at {at}", noise.len())
        }
        3 => {
            let at = at / 4096 * 4096;
            file.write_all_at(&[0; 4096], at).unwrap();
            format!("4096 zeros at {at}")
        }
        4 => {
            file.set_len(at).unwrap();
            format!("cut at {at}")
        }
        5 => {
            std::fs::remove_file(path).unwrap();
            "removed".to_owned()
        }
        _ => {
            let noise: Vec<u8> = (0..size.div_ceil(8)).flat_map(|_| random.next().to_le_bytes()).collect();
            std::fs::write(path, noise).unwrap();
            "all noise".to_owned()
        }
    };
    format!("{}: {what}", path.file_name().unwrap_or_default().to_string_lossy())
}
