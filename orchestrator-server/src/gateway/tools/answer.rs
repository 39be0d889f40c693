//! An answer in OpenAI's protocol: in one piece, or as the chunks of a stream. Pure.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use orchestrator_core::InstanceName;
use orchestrator_toolcall::Call;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::generation::{Piece, Usage};
use super::turn::{Outcome, Said};

/// What every part of an answer repeats.
#[derive(Debug, Clone)]
pub(super) struct Letterhead {
    id: String,
    created: u64,
    model: String,
}

impl Letterhead {
    /// Makes one for an answer that begins now.
    pub(super) fn new(instance: &InstanceName) -> Self {
        let created = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        Self { id: format!("chatcmpl-{}", Uuid::now_v7().simple()), created, model: instance.to_string() }
    }

    fn write(&self, object: &str, rest: &[(&str, Value)]) -> Value {
        let mut answer = Map::new();
        answer.insert("id".to_owned(), self.id.as_str().into());
        answer.insert("object".to_owned(), object.into());
        answer.insert("created".to_owned(), self.created.into());
        answer.insert("model".to_owned(), self.model.as_str().into());
        answer.extend(rest.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        Value::Object(answer)
    }

    /// Writes an answer in one piece.
    pub(super) fn whole(&self, outcome: &Outcome) -> Bytes {
        let mut message = match &outcome.said {
            Said::Calls(calls) => {
                let content = Some(outcome.beside.as_str()).filter(|words| !words.is_empty());
                json!({ "role": "assistant", "content": content, "tool_calls": written(calls, &outcome.ids) })
            }
            Said::Words(words) => json!({ "role": "assistant", "content": words }),
        };
        if !outcome.reasoning.is_empty() {
            message["reasoning_content"] = outcome.reasoning.as_str().into();
        }
        let choice = json!({ "index": 0, "message": message, "finish_reason": outcome.finish_reason });
        let mut rest = vec![("choices", json!([choice]))];
        if let Some(usage) = outcome.usage {
            rest.push(("usage", usage_of(usage)));
        }
        self.write("chat.completion", &rest).to_string().into()
    }

    fn chunk(&self, delta: &Value, finish_reason: Option<&str>) -> String {
        let choice = json!({ "index": 0, "delta": delta, "finish_reason": finish_reason });
        format!("data: {}\n\n", self.write("chat.completion.chunk", &[("choices", json!([choice]))]))
    }

    /// Writes the first chunk: who speaks.
    pub(super) fn opening(&self) -> String {
        self.chunk(&json!({ "role": "assistant", "content": null }), None)
    }

    /// Writes a piece that leaves early.
    pub(super) fn piece(&self, piece: &Piece) -> String {
        match piece {
            Piece::Content(text) => self.chunk(&json!({ "content": text }), None),
            Piece::Reasoning(text) => self.chunk(&json!({ "reasoning_content": text }), None),
        }
    }

    /// Writes all chunks from here to the end; `spoken` words have left already.
    pub(super) fn closing(&self, outcome: &Outcome, spoken: &str, with_usage: bool) -> String {
        let mut text = String::new();
        match &outcome.said {
            Said::Calls(calls) => {
                for (index, call) in written(calls, &outcome.ids).into_iter().enumerate() {
                    let (id, name, arguments) = (&call["id"], &call["function"]["name"], &call["function"]["arguments"]);
                    let function = json!({ "name": name, "arguments": "" });
                    let head = json!({ "index": index, "id": id, "type": "function", "function": function });
                    text.push_str(&self.chunk(&json!({ "tool_calls": [head] }), None));
                    let rest = json!({ "index": index, "function": { "arguments": arguments } });
                    text.push_str(&self.chunk(&json!({ "tool_calls": [rest] }), None));
                }
            }
            Said::Words(words) => {
                let left = words.strip_prefix(spoken).unwrap_or_default();
                if !left.is_empty() {
                    text.push_str(&self.piece(&Piece::Content(left.to_owned())));
                }
            }
        }
        text.push_str(&self.chunk(&json!({}), Some(outcome.finish_reason)));
        if with_usage && let Some(usage) = outcome.usage {
            let last = self.write("chat.completion.chunk", &[("choices", json!([])), ("usage", usage_of(usage))]);
            text.extend(["data: ", &last.to_string(), "\n\n"]);
        }
        text.extend([": x-orchestrator-tools: ", &outcome.report.header_text(), "\n\ndata: [DONE]\n\n"]);
        text
    }
}

/// Writes calls with their ids: the engine's, where it gave each its own, and else ours.
fn written(calls: &[Call], ids: &[Option<String>]) -> Vec<Value> {
    let given: Vec<&str> = ids.iter().filter_map(Option::as_deref).collect();
    let is_distinct = given.iter().enumerate().all(|(index, id)| !given[..index].contains(id));
    let given = if given.len() == calls.len() && is_distinct { given } else { Vec::new() };
    let write = |(index, call): (usize, &Call)| {
        let id = given.get(index).map_or_else(|| format!("call_{}", Uuid::now_v7().simple()), |id| (*id).to_owned());
        let arguments = Value::Object(call.arguments.clone()).to_string();
        json!({ "id": id, "type": "function", "function": { "name": call.name, "arguments": arguments } })
    };
    calls.iter().enumerate().map(write).collect()
}

fn usage_of(usage: Usage) -> Value {
    let Usage { prompt, completion } = usage;
    json!({ "prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion })
}
