//! What several of the modules need, and no other crate.

use std::path::Path;

use orchestrator_tests::home::{SOON, run};
use orchestrator_tests::{TestHome, http, wait_until};
use serde_json::{Value, json};

/// Changes one place of a configuration.
pub(crate) trait Edit {
    /// Puts `value` at a JSON pointer whose parent is there.
    fn edit(self, pointer: &str, value: Value) -> Self;
}

impl Edit for Value {
    #[track_caller]
    fn edit(mut self, pointer: &str, value: Value) -> Self {
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        let parent = self.pointer_mut(parent).unwrap();
        parent[key] = value;
        self
    }
}

/// Makes a home in which the real engine is installed. It is built once, in a home of its own below the build folder
/// that stays, so that a second run of the tests is quick.
pub(crate) fn home_with_engine() -> TestHome {
    let home = TestHome::new();
    let shared = Path::new(env!("CARGO_TARGET_TMPDIR")).join("engine-home");
    std::fs::create_dir_all(&shared).unwrap();
    // Tests run in processes of their own.
    let lock = std::fs::File::create(shared.join("tests.lock")).unwrap();
    lock.lock().unwrap();
    let current = shared.join("envs/llama-cpp-cpu/current");
    if !current.exists() {
        std::fs::write(shared.join("config.yaml"), "gateway:\n  port: 0\n").unwrap();
        // With the environment of the tests: it may say how the package index is reached.
        let orch = |arguments: &[&str]| {
            let mut command = home.command(arguments);
            command.envs(std::env::vars_os()).env("ORCH_HOME", &shared);
            run(command)
        };
        let built = orch(&["env", "create", "llama-cpp-cpu"]);
        orch(&["daemon", "stop", "--all"]);
        built.assert_ok();
    }
    std::os::unix::fs::symlink(shared.join("envs"), home.path().join("envs")).unwrap();
    home
}

/// Counts the starts that fake engines noted in a file.
pub(crate) fn starts(file: &Path) -> usize {
    std::fs::read_to_string(file).unwrap_or_default().lines().count()
}

/// Fails the test unless the daemon is all that runs.
#[track_caller]
pub(crate) fn only_daemon_runs(home: &TestHome, what: &str) {
    let others = || home.processes().into_iter().filter(|process| !process.command.contains("serve --background")).collect::<Vec<_>>();
    // What was killed may take a moment to disappear, but nothing may have to be waited for.
    let left = others();
    wait_until(&format!("{what}: {left:?} are still there"), SOON / 10, || others().is_empty().then_some(()));
}

/// Asks an instance for a chat; returns the status of the whole answer.
#[track_caller]
pub(crate) fn chat_status(endpoint: &str, model: &str) -> u16 {
    let body = json!({ "model": model, "messages": [{ "role": "user", "content": "hello" }] }).to_string();
    let answer = http::send(endpoint, "POST", "/v1/chat/completions", body.as_bytes()).unwrap();
    let status = answer.status;
    answer.text().unwrap();
    status
}
