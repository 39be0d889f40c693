//! Strict tool calls: what leaves this crate as a tool call parsed as JSON, matched the tool's full schema, and
//! was not guessed.

mod envelope;
mod error;
mod extract;
mod limits;
mod repair;
pub mod schema;
mod stream;
mod tool_set;
mod verdict;

pub use envelope::{Call, ENVELOPE_VERSION, Envelope, envelope_schema};
pub use error::{CutOff, ParseError, ToolError};
pub use limits::Limits;
pub use repair::{Edit, EditKind, parse_strict};
pub use stream::{StreamScanner, StreamState};
pub use tool_set::{Coercion, Tool, ToolChoice, ToolSet};
pub use verdict::{Fidelity, Finish, Problem, Verdict};
