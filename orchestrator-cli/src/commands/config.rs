//! `orch config`: one file for each of its commands. All of them read files only, and need no daemon.

pub(crate) mod lint;
pub(crate) mod report;
pub(crate) mod schema;
pub(crate) mod validate;
