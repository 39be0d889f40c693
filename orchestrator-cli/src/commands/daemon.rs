//! `orch daemon`: one file for each of its commands.

pub(crate) mod restart;
pub(crate) mod start;
pub(crate) mod status;
pub(crate) mod stop;
