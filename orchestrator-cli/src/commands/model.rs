//! `orch model`: one file for each of its commands.

pub(crate) mod activate;
pub(crate) mod info;
pub(crate) mod ls;
