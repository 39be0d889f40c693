//! A chat: what is asked, made of the arguments of Python, and the answer, as an iterator of Python over its text.

use std::sync::{Mutex, PoisonError};

use futures_util::{StreamExt, TryStreamExt};
use orchestrator_core::{ErrorCode, Problem};
use orchestrator_server::ClientError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};
use serde_json::{Map, Value, json};

use crate::backend::{Backend, told};
use crate::closable::{ClosableStream, Items};
use crate::engine;
use crate::error::raise;
use crate::json::{from_python, to_python};
use crate::runtime::ask;

/// What is asked: the fields of OpenAI's request.
pub(crate) struct Conversation {
    model: String,
    fields: Map<String, Value>,
}

impl Conversation {
    /// Makes it of a prompt or a list of messages, and of more fields of the request.
    pub(crate) fn try_new(model: String, messages: &Bound<'_, PyAny>, options: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        let messages = match messages.cast::<PyString>() {
            Ok(prompt) => json!([{ "role": "user", "content": prompt.to_cow()? }]),
            Err(_) => from_python(messages)?,
        };
        let mut fields = Map::new();
        fields.insert("model".to_owned(), Value::from(model.as_str()));
        fields.insert("messages".to_owned(), messages);
        if let Some(options) = options {
            if let Value::Object(more) = from_python(options)? {
                fields.extend(more);
            }
            if fields.contains_key("stream") {
                let problem = Problem::new(ErrorCode::Usage, "`stream` is no option of a chat");
                return Err(raise(options.py(), &problem.with_hint("`chat` streams its answer, `complete` returns it whole")));
            }
        }
        Ok(Self { model, fields })
    }

    /// Asks for the whole answer, in OpenAI's shape.
    pub(crate) async fn complete(&self, backend: &Backend) -> Result<Value, Problem> {
        match self.whole(backend).await {
            Err(problem) if problem.code == ErrorCode::ModelUnknown => {
                look_again(backend).await?;
                self.whole(backend).await
            }
            answer => answer,
        }
    }

    /// Asks for the answer in pieces.
    pub(crate) async fn stream(&self, backend: &Backend) -> Result<ChatStream, Problem> {
        let chunks = match self.chunks(backend).await {
            Err(problem) if problem.code == ErrorCode::ModelUnknown => {
                look_again(backend).await?;
                self.chunks(backend).await?
            }
            chunks => chunks?,
        };
        let pieces = chunks.map(|chunk| chunk.map(|chunk| Piece::read(&chunk)));
        Ok(ChatStream { pieces: ClosableStream::new(Box::pin(pieces)), told: Mutex::default() })
    }

    async fn whole(&self, backend: &Backend) -> Result<Value, Problem> {
        match backend {
            Backend::Embedded(orchestrator) => engine::chat(orchestrator, &self.model, &self.fields).await,
            Backend::Connected(client) => told(client.chat(&Value::Object(self.fields.clone())).await),
        }
    }

    async fn chunks(&self, backend: &Backend) -> Result<Items<Value>, Problem> {
        match backend {
            Backend::Embedded(orchestrator) => engine::chat_stream(orchestrator, &self.model, &self.fields).await,
            Backend::Connected(client) => {
                let chunks = told(client.chat_stream(&Value::Object(self.fields.clone())).await)?;
                Ok(Box::pin(chunks.map_err(ClientError::into_problem)))
            }
        }
    }
}

/// Has the configurations read anew. An unknown name is looked for in the files only now and then, and a program
/// may have written one a moment ago.
async fn look_again(backend: &Backend) -> Result<(), Problem> {
    backend.instances().await.map(drop)
}

/// What one chunk of an answer says.
struct Piece {
    content: String,
    told: Told,
}

/// What an answer has told besides its text.
#[derive(Default)]
struct Told {
    reasoning: String,
    finish_reason: Option<String>,
    usage: Option<Value>,
}

impl Piece {
    fn read(chunk: &Value) -> Self {
        let choice = &chunk["choices"][0];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Self {
            content: text(&choice["delta"]["content"]),
            told: Told {
                reasoning: text(&choice["delta"]["reasoning_content"]),
                finish_reason: choice["finish_reason"].as_str().map(str::to_owned),
                usage: chunk.get("usage").filter(|usage| usage.is_object()).cloned(),
            },
        }
    }
}

/// An answer that is being written: an iterator over the pieces of its text, as they come.
///
/// Closing it, or letting it go, ends the engine's work on it.
#[pyclass(frozen, module = "orchestrator")]
pub(crate) struct ChatStream {
    pieces: ClosableStream<Piece>,
    told: Mutex<Told>,
}

impl ChatStream {
    /// Returns the next piece that has text.
    async fn next_text(&self) -> Result<Option<String>, Problem> {
        while let Some(piece) = self.pieces.next().await {
            let Piece { content, told } = piece?;
            self.look(|all| {
                all.reasoning.push_str(&told.reasoning);
                all.finish_reason = told.finish_reason.or(all.finish_reason.take());
                all.usage = told.usage.or(all.usage.take());
            });
            if !content.is_empty() {
                return Ok(Some(content));
            }
        }
        Ok(None)
    }

    fn look<T>(&self, look: impl FnOnce(&mut Told) -> T) -> T {
        look(&mut self.told.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[pymethods]
impl ChatStream {
    fn __iter__(this: Py<Self>) -> Py<Self> {
        this
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<String>> {
        ask(py, self.next_text())
    }

    /// Waits for the end and returns all text that was not iterated over yet.
    fn text(&self, py: Python<'_>) -> PyResult<String> {
        ask(py, async {
            let mut text = String::new();
            while let Some(piece) = self.next_text().await? {
                text.push_str(&piece);
            }
            Ok(text)
        })
    }

    /// What the model thought so far, where it thinks aloud.
    #[getter]
    fn reasoning(&self) -> String {
        self.look(|told| told.reasoning.clone())
    }

    /// Why the answer ended, such as `stop` or `length`; `None` before its end.
    #[getter]
    fn finish_reason(&self) -> Option<String> {
        self.look(|told| told.finish_reason.clone())
    }

    /// How many tokens it took, where the engine tells: `stream_options={"include_usage": True}` asks for it.
    #[getter]
    fn usage<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let usage = self.look(|told| told.usage.clone());
        usage.map(|usage| to_python(py, &usage)).transpose()
    }

    /// Ends the answer, also one that is waited for in another thread. Closing twice is fine.
    fn close(&self) {
        self.pieces.close();
    }

    fn __enter__(this: Py<Self>) -> Py<Self> {
        this
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, _exception: &Bound<'_, PyAny>) {
        self.close();
    }
}
