//! More clients than there is room for want a stream at once, and those that are let in listen for a while.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::crowd::{self, Fate};
use super::observe::{block_on_all, descriptors, listen_overflows, memory_kib};
use super::stage::{daemon_of, describe, timing, wait_ready};
use super::{Row, Stage};
use crate::home::{SOON, run};
use crate::{Behaviour, TestHome, wait_until};

pub(super) const ROW: Row = Row {
    number: 17,
    fault: "more clients than there is room for ask for a stream at once (`ORCH_FAULTS_CROWD` of them)",
    holds: "no error among the admitted, 429 for the rest, no listen overflow, little memory for each, nothing left",
    count: 10,
    prepare,
    round,
};

const TALKER: &str = "talker";
/// How many clients there are where the environment does not say.
const USUAL: usize = 300;
/// Descriptors of the daemon that are not for clients.
const RESERVED: usize = 256;
/// How much memory of the daemon a stream may take. Without optimisation everything is larger.
const KIB_EACH: u64 = if cfg!(debug_assertions) { 64 } else { 32 };
/// What memory goes up and down by, whatever happens.
const KIB_NOISE: u64 = 2_048;

/// How many streams there is room for: a tenth fewer than are asked for.
fn room() -> usize {
    crowd::size(USUAL) * 9 / 10
}

fn prepare(home: &TestHome) {
    crowd::raise_descriptor_limit();
    home.add(TALKER, &Behaviour { chunks: 12, chunk_ms: 400, ..Behaviour::default() });
    // The daemon makes room for as many clients as it may open files.
    let files = RESERVED + 2 * room();
    let inner = home.command(&["up", TALKER]);
    let mut command = Command::new("/bin/sh");
    command.args(["-c", &format!("ulimit -n {files} && exec \"$0\" \"$@\"")]).arg(inner.get_program()).args(inner.get_args());
    command.env_clear().envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?)))).current_dir(home.path());
    run(command).assert_ok();
}

fn round(stage: &mut Stage<'_>) {
    let endpoint = stage.home.endpoint();
    let authority = endpoint.trim_start_matches("http://").to_owned();
    wait_ready(&endpoint, TALKER);
    let daemon = daemon_of(stage.home).unwrap();
    // What is set up once is not any stream's.
    block_on_all((0..8).map(|_| one(authority.clone(), Arc::default())));
    let (files_before, memory_before, overflows_before) = (descriptors(daemon), memory_kib(daemon), listen_overflows());
    let clients = crowd::size(USUAL);
    let answered = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&answered);
    let crowd = std::thread::spawn(move || timing(|| block_on_all((0..clients).map(|_| one(authority.clone(), Arc::clone(&counter))))));
    wait_until("everybody is answered", SOON * 3, || (answered.load(Ordering::SeqCst) >= clients).then_some(()));
    let memory = memory_kib(daemon).saturating_sub(memory_before);
    let overflows = listen_overflows() - overflows_before;
    let (fates, took) = crowd.join().unwrap();
    let count = |fate: &Fate| fates.iter().filter(|found| *found == fate).count();
    let (whole, refused) = (count(&Fate::Whole), count(&Fate::Refused));
    let broken: Vec<_> = fates.iter().filter(|fate| matches!(fate, Fate::Broken(_))).take(5).collect();
    assert!(broken.is_empty(), "{whole} whole, {refused} refused, and {} like {broken:?}", clients - whole - refused);
    assert_eq!(whole, room().max(64), "{refused} were refused");
    assert_eq!(overflows, 0, "connections were dropped before anybody saw them");
    let each = memory.saturating_sub(KIB_NOISE) / whole as u64;
    assert!(each <= KIB_EACH, "{memory} KiB for {whole} streams");
    stage.timed("all streams", None, took);
    // A KiB as a millisecond: the table knows times only.
    stage.timed("memory of a stream, a KiB as a ms", Duration::from_millis(KIB_EACH), Duration::from_millis(memory / whole as u64));
    wait_until("nothing is under way", SOON, || (describe(&endpoint, TALKER)["requests_in_flight"] == 0).then_some(()));
    // Idle connections to the engine are closed after a while.
    wait_until("the descriptors are back", SOON, || (descriptors(daemon) <= files_before + 8).then_some(()));
}

async fn one(authority: String, answered: Arc<AtomicUsize>) -> Fate {
    crowd::listen(authority, TALKER, &answered).await
}
