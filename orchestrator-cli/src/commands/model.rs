//! `orch model`: one file for each of its commands.

pub(crate) mod info;
pub(crate) mod ls;
