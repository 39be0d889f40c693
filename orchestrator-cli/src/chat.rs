//! A chat through the gateway: what goes out, and what comes back piece by piece.

use futures_util::StreamExt as _;
use orchestrator_core::InstanceName;
use orchestrator_server::Client;
use serde_json::{Value, json};

use crate::error::CommandError;

/// What is asked.
#[derive(Debug, Clone)]
pub(crate) struct Conversation {
    model: InstanceName,
    messages: Vec<Value>,
    max_tokens: Option<u32>,
}

/// A piece of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    /// What the model says.
    Content(&'a str),
    /// What it thinks before it says something.
    Reasoning(&'a str),
}

/// A whole answer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Answer {
    /// What the model said.
    pub(crate) text: String,
    /// Why it ended, such as `stop` or `length`.
    pub(crate) finish_reason: Option<String>,
}

impl Conversation {
    /// Begins a conversation with what the model is told before it.
    #[must_use]
    pub(crate) fn new(model: &InstanceName, system: Option<&str>, max_tokens: Option<u32>) -> Self {
        let messages = system.map(|text| json!({ "role": "system", "content": text })).into_iter().collect();
        Self { model: model.clone(), messages, max_tokens }
    }

    /// Adds what is asked.
    pub(crate) fn ask(&mut self, prompt: &str) {
        self.messages.push(json!({ "role": "user", "content": prompt }));
    }

    /// Adds what was answered.
    pub(crate) fn remember(&mut self, answer: &Answer) {
        self.messages.push(json!({ "role": "assistant", "content": answer.text }));
    }

    /// Takes back the last question: its answer was not waited for.
    pub(crate) fn take_back(&mut self) {
        self.messages.pop();
    }

    fn body(&self) -> Value {
        let mut body = json!({ "model": self.model, "messages": self.messages });
        if let Some(limit) = self.max_tokens {
            body["max_tokens"] = limit.into();
        }
        body
    }

    /// Sends the conversation and hands over each piece of the answer as it comes.
    pub(crate) async fn stream(
        &self,
        client: &Client,
        mut take: impl FnMut(Piece<'_>) -> Result<(), CommandError>,
    ) -> Result<Answer, CommandError> {
        let mut chunks = client.chat_stream(&self.body()).await?;
        let mut answer = Answer::default();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk?;
            let choice = &chunk["choices"][0];
            if let Some(text) = choice["delta"]["reasoning_content"].as_str() {
                take(Piece::Reasoning(text))?;
            }
            if let Some(text) = choice["delta"]["content"].as_str() {
                answer.text.push_str(text);
                take(Piece::Content(text))?;
            }
            if let Some(reason) = choice["finish_reason"].as_str() {
                answer.finish_reason = Some(reason.to_owned());
            }
        }
        Ok(answer)
    }

    /// Sends the conversation and returns the whole answer, made to match a JSON schema by the engine.
    pub(crate) async fn constrained(&self, client: &Client, name: &str, schema: &Value) -> Result<Answer, CommandError> {
        let mut body = self.body();
        body["response_format"] = json!({ "type": "json_schema", "json_schema": { "name": name, "strict": true, "schema": schema } });
        let whole = client.chat(&body).await?;
        let choice = &whole["choices"][0];
        Ok(Answer {
            text: choice["message"]["content"].as_str().unwrap_or_default().to_owned(),
            finish_reason: choice["finish_reason"].as_str().map(str::to_owned),
        })
    }
}

/// Makes what a model says harmless for a terminal: line breaks and tabs stay, other control characters go.
#[must_use]
pub(crate) fn printable(text: &str) -> String {
    text.chars().filter(|character| !character.is_control() || matches!(character, '\n' | '\t')).collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;

    #[test]
    fn the_body_holds_the_whole_conversation() {
        let mut conversation = Conversation::new(&InstanceName::try_new("m").unwrap(), Some("Be brief."), Some(5));
        conversation.ask("a");
        conversation.remember(&Answer { text: "b".to_owned(), finish_reason: None });
        conversation.ask("c");
        conversation.take_back();
        let expected = json!({
            "model": "m",
            "max_tokens": 5,
            "messages": [
                { "role": "system", "content": "Be brief." },
                { "role": "user", "content": "a" },
                { "role": "assistant", "content": "b" },
            ],
        });
        assert_eq!(conversation.body(), expected);
    }

    #[test]
    fn a_model_cannot_steer_the_terminal() {
        assert_eq!(printable("a\x1b[2J\n\tb\u{9b}c"), "a[2J\n\tbc");
    }
}
