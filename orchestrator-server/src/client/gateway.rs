//! The gateway as its clients see it: a request as bytes, or a chat as a stream of chunks.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, TryStreamExt};
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt;
use serde_json::Value;

use super::transport::AnswerBody;
use super::{Call, Client, ClientError, ItemStream, LOADING, encode, error, stream};

/// How long a request to the gateway may take: the model may have to be loaded first.
const ANSWERING: Duration = LOADING;

/// An answer of the gateway, as it came.
pub struct GatewayAnswer {
    client: Client,
    status: StatusCode,
    headers: HeaderMap,
    body: AnswerBody,
}

impl GatewayAnswer {
    /// Returns the status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Returns the headers.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// Reads the whole body.
    pub async fn bytes(self) -> Result<Bytes, ClientError> {
        let mut response = http::Response::new(self.body);
        *response.status_mut() = self.status;
        self.client.collect(response).await
    }

    /// Returns the body in pieces, as they come; dropping it cancels the request.
    pub fn into_stream(self) -> impl Stream<Item = Result<Bytes, ClientError>> + Send {
        let (client, status) = (self.client, self.status);
        self.body
            .into_data_stream()
            .map_err(move |source| client.protocol(Some(status), format!("the answer broke off: {}", error::chain(&source))))
    }
}

impl Client {
    /// Sends a JSON body to a route of the gateway, such as `/v1/chat/completions`, and returns the answer as it is,
    /// whatever its status.
    pub async fn openai_post(&self, path: &str, body: impl Into<Bytes>) -> Result<GatewayAnswer, ClientError> {
        self.openai_post_with(path, &[], body).await
    }

    /// Does as [`Self::openai_post`], with more headers, such as `x-orchestrator-tools: strict`.
    pub async fn openai_post_with(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Result<GatewayAnswer, ClientError> {
        let call = Call { accept: "*/*", headers, ..Call::post(path) }.body(body.into()).within(ANSWERING);
        let (head, body) = self.raw(call).await?.into_parts();
        Ok(GatewayAnswer { client: self.clone(), status: head.status, headers: head.headers, body })
    }

    /// Asks for a whole chat answer; the body is OpenAI's, as is the answer.
    pub async fn chat(&self, body: &Value) -> Result<Value, ClientError> {
        self.json(Call::post("/v1/chat/completions").body(encode(body)?).within(ANSWERING)).await
    }

    /// Asks for a chat answer as a stream of OpenAI's chunks; `stream` is set in the body. Ends after `[DONE]`.
    pub async fn chat_stream(&self, body: &Value) -> Result<ItemStream<Value>, ClientError> {
        let mut body = body.clone();
        if let Some(fields) = body.as_object_mut() {
            fields.insert("stream".to_owned(), Value::Bool(true));
        }
        let call = Call::post("/v1/chat/completions").body(encode(&body)?).within(ANSWERING).stream();
        let response = self.answer(call).await?;
        let target = self.target();
        let chunks = stream::events(target.clone(), response)
            .try_filter_map(|event| std::future::ready(Ok(event.data)))
            .take_while(|data| std::future::ready(!matches!(data, Ok(data) if data == "[DONE]")))
            .map(move |data| chunk(&target, &data?));
        Ok(Box::pin(chunks))
    }

    /// Lists the models that the gateway serves, in OpenAI's shape.
    pub async fn served_models(&self) -> Result<Value, ClientError> {
        self.json(Call::get("/v1/models")).await
    }
}

fn chunk(target: &str, data: &str) -> Result<Value, ClientError> {
    let value: Value = serde_json::from_str(data).map_err(|source| ClientError::Protocol {
        target: target.to_owned(),
        status: None,
        detail: format!("a chunk cannot be read: {source}"),
    })?;
    if value.get("error").is_some()
        && let Some(problem) = error::openai_problem(StatusCode::BAD_GATEWAY, data.as_bytes())
    {
        return Err(ClientError::Problem(problem));
    }
    Ok(value)
}
