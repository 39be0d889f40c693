//! `orch model`: one file for each of its commands.

pub mod info;
pub mod ls;
