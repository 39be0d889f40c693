//! What several of the modules need, and no other crate.

use std::path::Path;

use orchestrator_tests::home::SOON;
use orchestrator_tests::{TestHome, wait_until};
use serde_json::Value;

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
