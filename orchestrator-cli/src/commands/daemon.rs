//! `orch daemon`: one file for each of its commands.

pub mod start;
pub mod status;
pub mod stop;
