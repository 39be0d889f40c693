//! What is wrong with a request for tool calls, in words for its client.

use orchestrator_core::error::Coded;
use orchestrator_core::{ErrorCode, Problem};
use orchestrator_toolcall::ToolError;

/// Why a request with tools is refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum ToolRequestError {
    /// The tools cannot be used.
    #[error("`tools` cannot be used: {source}")]
    Tools {
        /// Which one, and why. It stands in the text: one line is all that clients show.
        source: ToolError,
    },
    /// A field has a value that is not understood.
    #[error("`{field}` is not understood: {reason}")]
    Field {
        /// The field.
        field: &'static str,
        /// What would be understood.
        reason: &'static str,
    },
    /// A field cannot be honoured beside tools.
    #[error("`{field}` cannot be honoured together with `tools`: {reason}")]
    Together {
        /// The field.
        field: &'static str,
        /// Why not.
        reason: &'static str,
    },
    /// The header that chooses a mode for one request names none.
    #[error("the header `x-orchestrator-tools` names no mode")]
    Mode,
}

impl Coded for ToolRequestError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Tools { .. } => ErrorCode::ToolsInvalid,
            Self::Field { .. } | Self::Together { .. } | Self::Mode => ErrorCode::RequestInvalid,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Tools { source } => Some(source.hint().to_owned()),
            Self::Field { .. } => None,
            Self::Together { field, .. } => Some(format!("leave out `{field}`, or set `tools.mode: passthrough` for the instance")),
            Self::Mode => Some("send `passthrough`, `validated` or `strict`, or leave the header out".to_owned()),
        }
    }

    fn causes(&self) -> Vec<String> {
        Vec::new()
    }
}

impl From<ToolError> for ToolRequestError {
    fn from(source: ToolError) -> Self {
        Self::Tools { source }
    }
}

/// The model's answer may not leave, and the engine refuses the next question, often because it is too long for it.
pub(super) fn not_asked_again(refusal: &[u8]) -> Problem {
    let told: Option<serde_json::Value> = serde_json::from_slice(refusal).ok();
    let told = told.as_ref().and_then(|body| body["error"]["message"].as_str()).unwrap_or("it gives no reason");
    let told: String = told.chars().take(300).collect();
    let title = "the model's answer is no valid tool call, and the engine refuses to be asked again";
    Problem::new(ErrorCode::AnswerInvalid, title).with_cause(told).with_hint("shorten the conversation, or raise `model.context_size`")
}

/// The model gave no answer that may leave.
pub(super) fn unusable(findings: &[orchestrator_toolcall::Problem], reasks: usize) -> Problem {
    let title = match reasks {
        0 => "the model's answer is no valid tool call".to_owned(),
        1 => "the model's answer is no valid tool call, asked again once".to_owned(),
        _ => format!("the model's answer is no valid tool call, asked again {reasks} times"),
    };
    let mut problem = Problem::new(ErrorCode::AnswerInvalid, title);
    let findings: Vec<String> = findings.iter().map(ToString::to_string).collect();
    if !findings.is_empty() {
        problem.causes.push(findings.join("; "));
    }
    problem.with_hint("send the request again, offer fewer or simpler tools, or use a more capable model")
}
