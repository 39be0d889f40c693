//! `orch tools`: one file for each of its commands.

pub(crate) mod parse;
pub(crate) mod smoke;
