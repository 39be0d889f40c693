//! `orch env`: one file for each of its commands.

pub mod create;
pub mod ls;
pub mod rm;
pub mod test;
