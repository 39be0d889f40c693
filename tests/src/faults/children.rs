//! Engines with families that are hard to end.

use std::time::Duration;

use super::stage::{engines, pause, timing};
use super::{Row, Stage};
use crate::behaviour::Grandchild;
use crate::home::SOON;
use crate::{Behaviour, wait_until};

pub(super) const ROW: Row = Row {
    number: 4,
    fault: "children that ignore SIGTERM, fork, leave the session, hold descriptors, breed",
    holds: "nobody is left 2 s after the stop",
    count: 200,
    prepare: |_| {},
    round,
};

const KINDS: [Option<Grandchild>; 6] = [
    None,
    Some(Grandchild::Sleeps),
    Some(Grandchild::Listens),
    Some(Grandchild::IgnoresSigterm),
    Some(Grandchild::Breeds),
    Some(Grandchild::SleepsWithoutEnvironment),
];
/// How long such an engine may take to end by itself.
const GRACE: Duration = Duration::from_millis(300);

fn round(stage: &mut Stage<'_>) {
    let home = stage.home;
    let behaviour = Behaviour {
        grandchild: *stage.random.pick(&KINDS),
        ignore_sigterm: stage.random.below(2) == 0,
        stubborn_children: u8::try_from(stage.random.below(4)).unwrap(),
        load_ms: stage.random.below(100),
        ..Behaviour::default()
    };
    let mut config = home.config("demo", &behaviour);
    config["stop"]["grace"] = "300ms".into();
    home.write_config("demo", &config);
    home.orch(&["up", "demo"]).assert_ok();
    if behaviour.grandchild.is_some() {
        wait_until("the grandchild is there", SOON, || {
            home.processes().iter().any(|process| process.command.contains("left-behind")).then_some(())
        });
    }
    pause(stage.random.up_to_ms(50));
    // Some are left to `daemon stop --all`, some to the end of their leader.
    match stage.random.below(4) {
        0 => {
            let ((), took) = timing(|| drop(home.orch(&["daemon", "stop", "--all"]).assert_ok()));
            stage.timed("stopped with the daemon", None, took);
        }
        1 => {
            crate::processes::kill(home.pid("demo"));
            home.wait_for_row("demo", "it was restarted", |row| row["restarts"] == 1 && row["state"] == "ready");
            let ((), took) = timing(|| drop(home.orch(&["down", "demo"]).assert_ok()));
            stage.timed("stopped", GRACE + Duration::from_secs(2), took);
        }
        _ => {
            let ((), took) = timing(|| drop(home.orch(&["down", "demo"]).assert_ok()));
            stage.timed("stopped", GRACE + Duration::from_secs(2), took);
        }
    }
    let left = home.processes();
    let ((), gone_after) = timing(|| {
        wait_until(&format!("{behaviour:?}: nobody of {left:?} is left"), Duration::from_secs(2), || {
            engines(home).is_empty().then_some(())
        });
    });
    stage.timed("still there after the stop", Duration::from_secs(2), gone_after);
}
