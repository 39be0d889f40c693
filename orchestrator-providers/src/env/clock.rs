//! How long each step of a build may take.

use std::time::Duration;

/// The installer downloads: slow lines are common, and it gives up by itself when nothing comes any more.
pub(super) const INSTALL: Duration = Duration::from_hours(1);
/// The installer makes an empty environment.
pub(super) const VENV: Duration = Duration::from_mins(2);
/// A program says its version, or a check of an environment runs. The first import may read 100 MB from a cold disk.
pub(super) const QUICK: Duration = Duration::from_mins(1);
/// Between two looks at a lock that someone else holds.
pub(super) const LOCK_POLL: Duration = Duration::from_millis(50);
/// Between asking a step to end and killing it.
pub(super) const GRACE: Duration = Duration::from_secs(2);
/// After the end of a program, for what it left in its pipes: a child of its own may hold them open.
pub(super) const DRAIN: Duration = Duration::from_millis(500);
