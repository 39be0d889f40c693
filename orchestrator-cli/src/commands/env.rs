//! `orch env`: one file for each of its commands.

pub(crate) mod create;
pub(crate) mod ls;
pub(crate) mod rm;
pub(crate) mod test;
