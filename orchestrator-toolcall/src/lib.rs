//! Strict tool calls: what leaves this crate as a tool call parsed as JSON, matched the tool's full schema, and
//! was not guessed.

#![allow(dead_code)]

mod envelope;
mod error;
mod extract;
mod limits;
mod repair;
pub mod schema;
mod verdict;

pub use envelope::{Call, ENVELOPE_VERSION, Envelope, envelope_schema};
pub use error::{CutOff, ParseError, ToolError};
pub use limits::Limits;
pub use repair::{Edit, EditKind, parse_strict};
pub use verdict::{Fidelity, Finish, Problem, Verdict};
