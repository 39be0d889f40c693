//! What is asked of a model, and what counts as an answer. Each check returns what was seen, in a few words.

use orchestrator_core::{ErrorCode, InstanceName, Problem};
use orchestrator_server::Client;
use serde_json::{Value, json};

use crate::chat::Conversation;
use crate::error::CommandError;
use crate::output::format;
use crate::tool_call;

/// How long an answer may be, in tokens.
const ANSWER_TOKENS: u32 = 64;

/// Asks for a short answer, streamed.
pub(super) async fn chat(client: &Client, name: &InstanceName) -> Result<String, CommandError> {
    let mut conversation = Conversation::new(name, None, Some(ANSWER_TOKENS));
    conversation.ask("Say hello in one sentence.");
    let mut pieces = 0;
    let answer = conversation
        .stream(client, |_| {
            pieces += 1;
            Ok(())
        })
        .await?;
    if pieces == 0 {
        return Err(wrong("the answer is empty", "no text came before its end"));
    }
    Ok(format!("{} characters in {pieces} pieces: {}", answer.text.chars().count(), excerpt(&answer.text)))
}

/// Asks for a strict tool call.
pub(super) async fn tool_call(client: &Client, name: &InstanceName) -> Result<String, CommandError> {
    let call = tool_call::ask(client, name).await?;
    Ok(format!("matches its schema: {}", excerpt(&call.to_string())))
}

/// Asks for the vectors of two texts.
pub(super) async fn embeddings(client: &Client, name: &InstanceName) -> Result<String, CommandError> {
    let body = json!({ "model": name, "input": ["The sky is blue.", "Lisbon lies by the sea."] });
    let answer = ask(client, "/v1/embeddings", &body).await?;
    Ok(format!("2 vectors of {} numbers", vector_length(&answer)?))
}

/// Asks which of two texts answers a question.
pub(super) async fn ranking(client: &Client, name: &InstanceName) -> Result<String, CommandError> {
    let documents = ["Bread is baked of flour and water.", "Lisbon is the capital of Portugal."];
    let body = json!({ "model": name, "query": "What is the capital of Portugal?", "documents": documents });
    let answer = ask(client, "/v1/rerank", &body).await?;
    let scores = scores(&answer, documents.len())?;
    Ok(format!("{} texts, scored {:.3} and {:.3}", scores.len(), scores[0], scores[1]))
}

async fn ask(client: &Client, path: &str, body: &Value) -> Result<Value, CommandError> {
    let answer = client.openai_post_with(path, &[], body.to_string()).await?;
    let status = answer.status();
    let body: Value = serde_json::from_slice(&answer.bytes().await?).unwrap_or_default();
    if status.is_success() {
        return Ok(body);
    }
    Err(wrong(&format!("`{path}` answered with {status}"), body["error"]["message"].as_str().unwrap_or("no reason was given")))
}

fn vector_length(answer: &Value) -> Result<usize, CommandError> {
    let vectors = answer["data"].as_array().map(Vec::as_slice).unwrap_or_default();
    let lengths: Vec<usize> = vectors
        .iter()
        .filter_map(|vector| vector["embedding"].as_array())
        .filter(|numbers| numbers.iter().all(Value::is_number))
        .map(Vec::len)
        .collect();
    match lengths.as_slice() {
        [first, second] if first == second && *first > 0 => Ok(*first),
        _ => Err(wrong("the answer holds no vectors", "there should be two of the same length")),
    }
}

fn scores(answer: &Value, count: usize) -> Result<Vec<f64>, CommandError> {
    let mut scores = vec![None; count];
    for result in answer["results"].as_array().into_iter().flatten() {
        let index = result["index"].as_u64().and_then(|index| usize::try_from(index).ok());
        if let Some(score) = index.and_then(|index| scores.get_mut(index)) {
            *score = result["relevance_score"].as_f64();
        }
    }
    let scores: Option<Vec<f64>> = scores.into_iter().collect();
    scores.ok_or_else(|| wrong("the answer holds no ranking", "each text should have its score"))
}

fn excerpt(text: &str) -> String {
    format::shorten(&text.split_whitespace().collect::<Vec<_>>().join(" "), 48)
}

fn wrong(title: &str, cause: &str) -> CommandError {
    Problem::new(ErrorCode::AnswerInvalid, title).with_cause(cause).into()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;

    #[test]
    fn only_vectors_of_one_length_are_embeddings() {
        let answer = |first: Value, second: Value| json!({ "data": [{ "embedding": first }, { "embedding": second }] });
        assert_eq!(vector_length(&answer(json!([1, 0.5]), json!([-1, 2]))).unwrap(), 2);
        for bad in [answer(json!([1]), json!([1, 2])), answer(json!([]), json!([])), answer(json!(["a"]), json!([1])), json!({})] {
            assert!(vector_length(&bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_scores_for_every_text_are_a_ranking() {
        let good = json!({ "results": [{ "index": 1, "relevance_score": 0.9 }, { "index": 0, "relevance_score": -3 }] });
        assert_eq!(scores(&good, 2).unwrap(), [-3.0, 0.9]);
        for bad in [json!({}), json!({ "results": [{ "index": 0, "relevance_score": 1 }, { "index": 7, "relevance_score": 1 }] })] {
            assert!(scores(&bad, 2).is_err(), "{bad}");
        }
    }
}
