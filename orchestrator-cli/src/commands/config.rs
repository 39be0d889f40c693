//! `orch config`: one file for each of its commands. All of them read files only, and need no daemon.

pub mod lint;
pub mod report;
pub mod schema;
pub mod validate;
