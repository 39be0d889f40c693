//! What an engine generates, read as it comes: text, reasoning, native calls, usage. Watches for the end of the
//! envelope and for loops, and stops the engine there by dropping its answer.

use std::time::Duration;

use axum::body::Body;
use bytes::BytesMut;
use http::Response;
use http_body_util::{BodyExt, Limited};
use orchestrator_core::{ErrorCode, Problem};
use orchestrator_toolcall::{Limits, StreamScanner, StreamState};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::speech::Speech;

/// The largest event, and the largest answer in one piece, that is taken of an engine.
const LARGEST: usize = 4 * 1024 * 1024;
/// The most native calls of one answer that are looked at.
const MOST_CALLS: usize = 128;
/// How long an engine may take, once the envelope is complete, to end by itself and tell the usage.
const ENDING: Duration = Duration::from_millis(150);

/// A call in the engine's own protocol.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct NativeCall {
    pub(super) id: Option<String>,
    pub(super) name: String,
    pub(super) arguments: String,
}

/// How many tokens it took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Usage {
    pub(super) prompt: u64,
    pub(super) completion: u64,
}

/// What an engine generated.
#[derive(Debug, Default)]
pub(super) struct Generation {
    pub(super) text: String,
    pub(super) reasoning: String,
    pub(super) calls: Vec<NativeCall>,
    pub(super) finish_reason: Option<String>,
    pub(super) usage: Option<Usage>,
    pub(super) end: End,
}

/// Who ended a generation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum End {
    /// The engine.
    #[default]
    Engine,
    /// We, because the envelope is complete.
    Envelope,
    /// We, because it went nowhere.
    Guard,
}

/// A piece that may leave before the whole is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    /// Words of the answer.
    Content(String),
    /// Words of the reasoning before it.
    Reasoning(String),
}

/// What is looked for in a generation.
pub(super) enum Watch {
    /// The end of an envelope; the words of a final answer may leave early as the decoder gives them.
    Envelope(Box<StreamScanner>, Speech),
    /// Native calls; words leave as they come, or wait.
    Native {
        /// Whether they may leave.
        speaks: bool,
    },
}

impl Watch {
    /// Looks for an envelope.
    pub(super) fn envelope(speech: Speech) -> Self {
        Self::Envelope(Box::new(StreamScanner::new(Limits::DEFAULT)), speech)
    }
}

/// Reads an answer that an engine gives with success.
pub(super) async fn read(response: Response<Body>, mut watch: Watch, take: &mut (dyn FnMut(Piece) + Send)) -> Result<Generation, Problem> {
    let mut generation = Generation::default();
    let is_stream =
        response.headers().get(http::header::CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"text/event-stream"));
    if !is_stream {
        let body = Limited::new(response.into_body(), LARGEST).collect().await.map_err(|source| broken(&source.to_string()))?;
        let answer: Value = serde_json::from_slice(&body.to_bytes()).map_err(|source| broken(&source.to_string()))?;
        let message = &answer["choices"][0]["message"];
        let choice = json!({ "delta": message, "finish_reason": answer["choices"][0]["finish_reason"] });
        generation.take(&json!({ "choices": [choice], "usage": answer["usage"] }), &mut watch, take)?;
        return Ok(generation);
    }
    let mut body = response.into_body();
    let mut waiting = BytesMut::new();
    let mut searched = 0;
    let mut until: Option<Instant> = None;
    loop {
        let frame = match until {
            None => body.frame().await,
            // What still comes is of no interest but for the usage.
            Some(until) => tokio::time::timeout_at(until, body.frame()).await.unwrap_or_default(),
        };
        let data = match frame {
            None => return Ok(generation),
            Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
            Some(Err(_)) if generation.is_ended() => return Ok(generation),
            Some(Err(source)) => return Err(broken(&source.to_string())),
        };
        waiting.extend_from_slice(&data);
        while let Some(length) = waiting[searched..].iter().position(|byte| *byte == b'\n') {
            let line = waiting.split_to(searched + length + 1);
            searched = 0;
            if let Some(chunk) = chunk_of(&line)? {
                generation.take(&chunk, &mut watch, take)?;
            }
        }
        searched = waiting.len();
        if waiting.len() > LARGEST {
            return Err(broken("one event is larger than is taken"));
        }
        if generation.is_ended() && until.is_none() {
            until = Some(Instant::now() + ENDING);
        }
    }
}

/// Reads one line of a stream of events.
fn chunk_of(line: &[u8]) -> Result<Option<Value>, Problem> {
    let Some(data) = line.strip_prefix(b"data:").map(<[u8]>::trim_ascii) else { return Ok(None) };
    if data.is_empty() || data == b"[DONE]" {
        return Ok(None);
    }
    serde_json::from_slice(data).map(Some).map_err(|source| broken(&source.to_string()))
}

fn broken(cause: &str) -> Problem {
    Problem::new(ErrorCode::UpstreamFailed, "the engine's answer broke off").with_cause(cause).with_hint("send the request again")
}

impl Generation {
    fn is_ended(&self) -> bool {
        self.end != End::Engine
    }

    /// Ends what goes nowhere.
    fn guard(&mut self, is_enough: bool) {
        if is_enough {
            self.end = End::Guard;
        }
    }

    fn take(&mut self, chunk: &Value, watch: &mut Watch, take: &mut (dyn FnMut(Piece) + Send)) -> Result<(), Problem> {
        if let Some(error) = chunk.get("error").filter(|error| !error.is_null()) {
            return Err(broken(error["message"].as_str().unwrap_or("it told of an error")));
        }
        if let Some(usage) = chunk.get("usage").filter(|usage| usage.is_object()) {
            let count = |name: &str| usage[name].as_u64().unwrap_or(0);
            self.usage = Some(Usage { prompt: count("prompt_tokens"), completion: count("completion_tokens") });
        }
        let choice = &chunk["choices"][0];
        if let Some(reason) = choice["finish_reason"].as_str() {
            self.finish_reason = Some(reason.to_owned());
        }
        let delta = &choice["delta"];
        if self.is_ended() {
            return Ok(());
        }
        if let Some(text) = delta["reasoning_content"].as_str().or_else(|| delta["reasoning"].as_str()).filter(|text| !text.is_empty()) {
            self.reasoning.push_str(text);
            self.guard(self.reasoning.len() > LARGEST);
            take(Piece::Reasoning(text.to_owned()));
        }
        if let Some(text) = delta["content"].as_str().filter(|text| !text.is_empty()) {
            self.content(text, watch, take);
        }
        for call in delta["tool_calls"].as_array().into_iter().flatten() {
            self.call(call);
        }
        Ok(())
    }

    fn content(&mut self, text: &str, watch: &mut Watch, take: &mut (dyn FnMut(Piece) + Send)) {
        self.text.push_str(text);
        match watch {
            Watch::Native { speaks } => {
                self.guard(self.text.len() > LARGEST);
                if *speaks {
                    take(Piece::Content(text.to_owned()));
                }
            }
            Watch::Envelope(scanner, speech) => {
                let end = match scanner.push(text.as_bytes()) {
                    StreamState::Running => None,
                    StreamState::Complete { end } => Some((end, End::Envelope)),
                    StreamState::WhitespaceLoop { start } => Some((start, End::Guard)),
                    StreamState::TooLong => Some((self.text.len(), End::Guard)),
                };
                let said = speech.push(text);
                if !said.is_empty() {
                    take(Piece::Content(said));
                }
                if let Some((length, end)) = end {
                    self.text.truncate(length);
                    self.end = end;
                }
            }
        }
    }

    /// Puts a piece of a native call where it belongs.
    fn call(&mut self, piece: &Value) {
        // A piece without a number is a whole call.
        let index = piece["index"].as_u64().and_then(|index| usize::try_from(index).ok()).unwrap_or(self.calls.len());
        if index >= MOST_CALLS {
            self.guard(true);
            return;
        }
        if self.calls.len() <= index {
            self.calls.resize_with(index + 1, NativeCall::default);
        }
        let call = &mut self.calls[index];
        if let Some(id) = piece["id"].as_str().filter(|id| !id.is_empty()) {
            call.id = Some(id.to_owned());
        }
        if let Some(name) = piece["function"]["name"].as_str() {
            call.name.push_str(name);
        }
        match &piece["function"]["arguments"] {
            Value::String(text) => call.arguments.push_str(text),
            Value::Null => {}
            whole => call.arguments = whole.to_string(),
        }
        let is_too_long = call.arguments.len() > Limits::DEFAULT.max_bytes;
        self.guard(is_too_long);
    }
}
