//! `orch model`: one file for each of its commands.

pub(crate) mod activate;
pub(crate) mod fit;
pub(crate) mod import;
pub(crate) mod info;
pub(crate) mod ls;
pub(crate) mod prune;
pub(crate) mod pull;
pub(crate) mod rm;
pub(crate) mod search;
pub(crate) mod smoke;
