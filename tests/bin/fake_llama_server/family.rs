//! The processes an engine has besides itself: children in its group, and those it leaves behind elsewhere.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use orchestrator_tests::behaviour::Grandchild;

use crate::{LIFETIME, ignore_sigterm, value_of};

/// Tells a copy of this program what it is in the family.
pub(crate) const ROLE: &str = "--fake-role";
/// The one that leaves a process behind and ends.
const MIDDLE: &str = "middle";
/// The one that is left behind.
const LEFT_BEHIND: &str = "left-behind";
/// A child that stays with its parent.
const CHILD: &str = "child";
/// How long one of those lives that start a successor.
const GENERATION: Duration = Duration::from_millis(15);

/// Plays a part of the family.
pub(crate) fn play(role: &str, arguments: &[String]) {
    match role {
        MIDDLE => {
            rustix::process::setsid().unwrap();
            follow(arguments);
        }
        CHILD => {
            let _signals = ignore_sigterm();
            std::thread::sleep(LIFETIME);
        }
        _ => stay(arguments),
    }
}

/// Starts a copy of this program that starts another one in a session of its own, and ends.
pub(crate) fn leave_behind(kind: Grandchild, arguments: &[String]) {
    let kind = serde_json::to_string(&kind).unwrap();
    // The model's path tells whose it is, even with an empty environment.
    copy(MIDDLE, &kind, arguments).status().unwrap();
}

/// Starts children that stay in the group and end only when they are killed.
pub(crate) fn have_children(count: u8, arguments: &[String]) -> Vec<Child> {
    (0..count).map(|_| copy(CHILD, "\"sleeps\"", arguments).spawn().unwrap()).collect()
}

fn copy(role: &str, kind: &str, arguments: &[String]) -> Command {
    let model = value_of(arguments, "--model").unwrap_or_default();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([ROLE, role, "--kind", kind, "--model", model]).stdin(Stdio::null());
    command
}

fn kind_of(arguments: &[String]) -> Grandchild {
    serde_json::from_str(value_of(arguments, "--kind").unwrap()).unwrap()
}

/// Starts the one that is left behind. Its parent ends at once, so that init becomes the parent.
#[expect(clippy::zombie_processes, reason = "this process ends at once, so that init becomes the parent")]
fn follow(arguments: &[String]) {
    let kind = kind_of(arguments);
    let mut command = copy(LEFT_BEHIND, value_of(arguments, "--kind").unwrap(), arguments);
    if kind == Grandchild::SleepsWithoutEnvironment {
        command.env_clear();
    }
    command.spawn().unwrap();
}

fn stay(arguments: &[String]) {
    let kind = kind_of(arguments);
    let begun = Instant::now();
    let _listener = (kind == Grandchild::Listens).then(|| TcpListener::bind("127.0.0.1:0").unwrap());
    let _signals = (kind == Grandchild::IgnoresSigterm).then(ignore_sigterm);
    if kind == Grandchild::Breeds {
        std::thread::sleep(GENERATION.saturating_sub(begun.elapsed()));
        let _ = rustix::process::setsid();
        return follow(arguments);
    }
    std::thread::sleep(LIFETIME);
}
