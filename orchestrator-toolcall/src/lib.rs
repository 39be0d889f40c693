//! Strict tool calls: what leaves this crate as a tool call parsed as JSON, matched the tool's full schema, and was
//! not guessed. When that cannot be promised, the verdict says so and holds no call.
//!
//! The crate is pure and synchronous: text and tool schemas in, verdict out. It knows no engine and does no I/O.
//!
//! # From text to verdict
//!
//! A model is told ([`Prompt`]) to write one *envelope*:
//! `{"v":1,"type":"tool_calls","calls":[{"name":"…","arguments":{…}}]}` or `{"v":1,"type":"final","content":"…"}`.
//! [`ToolSet::parse`] finds it, reads it, and holds it against the tools:
//!
//! ```
//! use orchestrator_toolcall::{Fidelity, Finish, ToolSet};
//! use serde_json::json;
//!
//! let tools = ToolSet::from_openai(&json!([{"type": "function", "function": {
//!     "name": "weather",
//!     "description": "Says how the weather will be.",
//!     "parameters": {
//!         "type": "object",
//!         "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
//!         "required": ["city"]
//!     }
//! }}]))?;
//!
//! // Unquoted keys, a trailing comma and a forgotten brace: one possible meaning, so it is repaired, and logged.
//! let text = r#"{v: 1, type: "tool_calls", calls: [{name: "weather", arguments: {city: "Paris", days: 3,}}]"#;
//! let verdict = tools.parse(text, Finish::Stop);
//! assert_eq!(verdict.fidelity, Fidelity::Repaired);
//! assert_eq!(verdict.calls()[0].arguments["days"], 3);
//! assert!(!tools.may_run(&verdict)); // unless `weather` is marked with `with_read_only`
//!
//! // Cut off inside a string: what was to come can only be guessed.
//! let verdict = tools.parse(r#"{"v":1,"type":"tool_calls","calls":[{"name":"weather","arguments":{"city":"Par"#, Finish::Length);
//! assert_eq!(verdict.fidelity, Fidelity::Ambiguous);
//! assert!(verdict.envelope.is_none());
//! assert_eq!(verdict.errors[0].keyword, "cut_off");
//! # Ok::<(), orchestrator_toolcall::ToolError>(())
//! ```
//!
//! # The other parts
//!
//! * [`Constraint`] and [`StopSequences`]: what to ask of the engine, by its [`RuntimeCapabilities`].
//! * [`StreamScanner`]: sees where the envelope ends while it is generated, and stops whitespace loops.
//! * [`Reask`]: what to do with a refused answer, at most twice.
//! * [`schema`]: validating any value against a JSON Schema, and reducing a schema to what engines take.
//! * [`parse_strict`]: JSON without duplicate keys, within [`Limits`], in linear time.
//!
//! # What it costs
//!
//! Every function that reads a text takes time linear in its length and refuses texts beyond its limits at once.
//! A typical call is read, repaired and validated in about two microseconds.

mod constraint;
mod envelope;
mod error;
mod extract;
mod limits;
mod prompt;
mod reask;
mod repair;
pub mod schema;
mod stream;
mod tool_set;
mod verdict;

pub use constraint::{Constraint, ConstraintForm, RuntimeCapabilities, StopForm};
pub use envelope::{Call, ENVELOPE_VERSION, Envelope, envelope_schema};
pub use error::{CutOff, ParseError, ToolError};
pub use limits::Limits;
pub use prompt::{ModelFamily, Placement, Prompt, StopSequences};
pub use reask::{Correction, GiveUp, MAX_REASKS, Reask, ReaskStep};
pub use repair::{Edit, EditKind, parse_strict};
pub use stream::{StreamScanner, StreamState};
pub use tool_set::{Coercion, Tool, ToolChoice, ToolSet};
pub use verdict::{Fidelity, Finish, Problem, Verdict};
