//! `orch config`: one file for each of its commands.

pub mod lint;
pub mod schema;
pub mod validate;
