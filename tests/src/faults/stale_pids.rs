//! What is remembered names a process that is somebody else's by now: its number was given away, or the machine
//! was started anew.
//!
//! A record that is right in all (number, start and boot) is not among them: that is the very process.

use std::process::{Child, Command, Stdio};

use orchestrator_core::StateStore;
use orchestrator_core::launcher::WorkloadIdentity;
use orchestrator_core::process::{INSTANCE_VARIABLE, LISTEN_VARIABLE, OWNER_VARIABLE};

use super::observe::{block_on, open_store, state_of};
use super::stage::{daemon_of, engines, kill_and_wait, pid_in, wait_ready};
use super::{Row, Stage};
use crate::{Behaviour, TestHome};

pub(super) const ROW: Row = Row {
    number: 6,
    fault: "pids that were given to strangers, records from before a reboot",
    holds: "no signal to a stranger, no stranger adopted",
    count: 200,
    prepare,
    round,
};

fn prepare(home: &TestHome) {
    home.add("demo", &Behaviour::default());
}

/// A process that is none of ours.
struct Stranger(Child);

impl Stranger {
    /// `home` marks it as a server of another home.
    fn begin(home: Option<&str>) -> Self {
        let mut command = Command::new("sleep");
        command.arg("300").env_clear().stdin(Stdio::null());
        if let Some(home) = home {
            command.env(OWNER_VARIABLE, home).env(INSTANCE_VARIABLE, "demo").env(LISTEN_VARIABLE, "127.0.0.1:9");
        }
        Self(command.spawn().unwrap())
    }

    #[track_caller]
    fn assert_untouched(&mut self) {
        assert!(self.0.try_wait().unwrap().is_none(), "the stranger was ended");
        assert_eq!(state_of(self.0.id()), "S", "the stranger was stopped");
    }

    fn start_ticks(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0.id())).unwrap();
        stat.rsplit_once(") ").unwrap().1.split(' ').nth(19).unwrap().parse().unwrap()
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn round(stage: &mut Stage<'_>) {
    let home = stage.home;
    home.orch(&["up", "demo"]).assert_ok();
    let server = home.pid("demo");
    kill_and_wait(daemon_of(home).unwrap());
    // Sometimes it is the record that is wrong while the server lives.
    let lives_on = stage.random.below(3) == 0;
    if !lives_on {
        kill_and_wait(server);
    }
    let kind = stage.random.below(3);
    let mut stranger = Stranger::begin((kind == 2).then_some("/somewhere/else/state"));
    let wanted = stage.random.below(2) == 0;
    forge(stage, &stranger, kind, wanted);
    // A lock that names a stranger: the daemon that wrote it is gone.
    std::fs::write(home.path().join("state/daemon.lock"), format!("{}\n", stranger.0.id())).unwrap();
    home.orch(&["daemon", "stop"]);
    stranger.assert_untouched();

    home.orch(&["ps"]).assert_ok();
    stranger.assert_untouched();
    let endpoint = home.endpoint();
    let expected = if lives_on || wanted { Some(wait_ready(&endpoint, "demo")) } else { None };
    let found = super::stage::describe(&endpoint, "demo");
    assert_eq!(pid_in(&found), expected, "{found:#}");
    assert_ne!(pid_in(&found), Some(stranger.0.id()), "a stranger was adopted");
    if lives_on {
        assert_eq!(pid_in(&found), Some(server), "its server ran all the time");
    }
    let down = home.orch(&["down", "demo"]);
    assert!([0, 27].contains(&down.status), "{down:#?}");
    stranger.assert_untouched();
    assert_eq!(engines(home), [0u32; 0], "something is left");
}

/// Writes a record that points at the stranger into the database.
fn forge(stage: &mut Stage<'_>, stranger: &Stranger, kind: u64, wanted: bool) {
    let store = open_store(stage.home);
    let mut record = block_on(store.instances()).unwrap().remove(0);
    let WorkloadIdentity::Process(identity) = &mut record.server.as_mut().unwrap().identity else { unreachable!("there is no other kind") };
    identity.pid = stranger.0.id();
    match kind {
        // The number was given away: the start differs, if only by a tick.
        0 => identity.start_ticks = stranger.start_ticks() - 1 - stage.random.below(3) * stage.random.below(100_000),
        // The same number and start in another boot.
        1 => {
            identity.start_ticks = stranger.start_ticks();
            "00000000-0000-4000-8000-000000000000".clone_into(&mut identity.boot_id);
        }
        // All is right, and the process says that it is somebody else's.
        _ => identity.start_ticks = stranger.start_ticks(),
    }
    record.wanted = wanted;
    block_on(store.put_instance(record)).unwrap();
}
