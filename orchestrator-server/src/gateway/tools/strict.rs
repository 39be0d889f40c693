//! What the engine is sent in strict mode: the conversation as text, the instructions, and a constraint, but never
//! `tools`, which would push the constraint aside in some engines. Pure.

use bytes::Bytes;
use orchestrator_core::runtime::RuntimeCapabilities as EngineCapabilities;
use orchestrator_toolcall::{
    Constraint, ConstraintForm, Correction, ModelFamily, Placement, Prompt, RuntimeCapabilities, StopForm, StopSequences, ToolSet,
};
use serde_json::{Value, json};

use super::history::{self, Position};
use super::request::ToolRequest;

/// The most stop sequences that are asked for: every engine takes as many.
const STOPS: usize = 4;

/// One try to get an envelope.
pub(super) struct Attempt<'a> {
    /// The tools of this try.
    pub(super) tools: &'a ToolSet,
    /// What generation is held to.
    pub(super) constraint: &'a Constraint,
    /// What was wrong with the try before.
    pub(super) correction: Option<&'a Correction>,
    /// The model's family.
    pub(super) family: ModelFamily,
    /// What the engine takes.
    pub(super) capabilities: RuntimeCapabilities,
}

/// Says in the words of the tool-call crate what an engine takes.
pub(super) const fn capabilities_of(engine: EngineCapabilities) -> RuntimeCapabilities {
    RuntimeCapabilities {
        constraint: if engine.json_schema { ConstraintForm::JsonSchema } else { ConstraintForm::Unsupported },
        stop: StopForm::Strings { limit: STOPS },
        native_tools: engine.native_tools,
    }
}

/// Writes the body that the engine gets.
pub(super) fn body(request: &ToolRequest, attempt: &Attempt<'_>) -> Bytes {
    let mut messages = history::as_text(&request.messages);
    instruct(&mut messages, &Prompt::new(attempt.tools, attempt.family));
    let mut fields = request.fields.clone();
    if let Some(correction) = attempt.correction {
        history::add_user_text(&mut messages, &correction.message);
        if correction.is_last {
            fields.insert("temperature".to_owned(), 0.into());
        }
    }
    fields.insert("messages".to_owned(), messages.into());
    if let Some(schema) = attempt.constraint.schema() {
        let format = json!({ "type": "json_schema", "json_schema": { "name": "envelope", "strict": true, "schema": schema } });
        fields.insert("response_format".to_owned(), format);
    } else if let Constraint::Grammar(grammar) = attempt.constraint {
        fields.insert("grammar".to_owned(), grammar.as_str().into());
    }
    let stops = StopSequences::new(attempt.family, &attempt.capabilities).strings;
    if !stops.is_empty() {
        fields.insert("stop".to_owned(), stops.into());
    }
    fields.insert("stream".to_owned(), true.into());
    fields.insert("stream_options".to_owned(), json!({ "include_usage": true }));
    Value::Object(fields).to_string().into()
}

/// Puts the instructions where the model's template has a place for them.
fn instruct(messages: &mut Vec<Value>, prompt: &Prompt) {
    let is_system = |message: &Value| message["role"] == "system" || message["role"] == "developer";
    match prompt.placement {
        Placement::SystemMessage => match messages.iter_mut().find(|message| is_system(message)) {
            Some(message) => history::add_text(message, &prompt.text, Position::End),
            None => messages.insert(0, json!({ "role": "system", "content": prompt.text })),
        },
        Placement::FirstUserMessage => match messages.iter_mut().find(|message| message["role"] == "user") {
            Some(message) => history::add_text(message, &prompt.text, Position::Start),
            None => messages.push(json!({ "role": "user", "content": prompt.text })),
        },
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;

    const REQUEST: &str = r#"{
        "model": "m", "temperature": 0.7, "seed": 3, "max_tokens": 99, "stream": true, "stop": ["}"], "grammar": "x",
        "tools": [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}],
        "tool_choice": "required", "parallel_tool_calls": false,
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Look."}]
    }"#;

    fn sent(family: ModelFamily, constraint: &Constraint) -> Value {
        let request = ToolRequest::read(REQUEST.as_bytes()).unwrap().unwrap();
        let capabilities = capabilities_of(EngineCapabilities { json_schema: true, native_tools: true, embeddings: false });
        let attempt = Attempt { tools: &request.tools, constraint, correction: None, family, capabilities };
        serde_json::from_slice(&body(&request, &attempt)).unwrap()
    }

    #[test]
    fn the_engine_gets_instructions_and_a_constraint_but_no_tools() {
        let sent = sent(ModelFamily::Generic, &Constraint::Tools(json!({ "type": "object" })));
        for absent in ["tools", "tool_choice", "parallel_tool_calls", "grammar"] {
            assert!(sent.get(absent).is_none(), "{absent}: {sent}");
        }
        assert_eq!(sent["response_format"]["json_schema"]["schema"], json!({ "type": "object" }));
        assert_eq!((&sent["temperature"], &sent["seed"], &sent["max_tokens"]), (&json!(0.7), &json!(3), &json!(99)));
        assert!(sent["stop"].as_array().unwrap().iter().all(|stop| stop.as_str().unwrap().contains('\n')), "{sent}");
        let system = sent["messages"][0]["content"].as_str().unwrap();
        assert!(system.starts_with("Be brief.\n\n") && system.contains("look"), "{system}");
        assert_eq!(sent["messages"][1], json!({ "role": "user", "content": "Look." }));
    }

    #[test]
    fn a_model_without_system_messages_is_instructed_in_the_first_user_message() {
        let sent = sent(ModelFamily::Gemma, &Constraint::None);
        assert_eq!(sent["messages"][0]["content"], "Be brief.");
        assert!(sent["messages"][1]["content"].as_str().unwrap().ends_with("\n\nLook."), "{sent}");
        assert!(sent.get("response_format").is_none());
    }
}
