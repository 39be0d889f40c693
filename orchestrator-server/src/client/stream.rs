//! Streams of the control API: server-sent events turned into the values they carry.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, TryStreamExt};
use http::Response;
use http_body_util::BodyExt;
use orchestrator_core::Problem;
use serde::de::DeserializeOwned;
use sse_stream::{Sse, SseByteStream};

use super::transport::AnswerBody;
use super::{ClientError, error};
use crate::attached::WireError;

/// Values as they come. Ends when the daemon ends it; dropping it cancels it.
pub type ItemStream<T> = Pin<Box<dyn Stream<Item = Result<T, ClientError>> + Send>>;

/// The largest event that is taken.
const LARGEST_EVENT: usize = 8 * 1024 * 1024;

/// The body holds an event larger than we take.
#[derive(Debug, thiserror::Error)]
enum EventStreamError {
    #[error("one event is larger than {LARGEST_EVENT} bytes")]
    TooLarge,
    #[error(transparent)]
    Broken(WireError),
}

/// Reads the events of an answer, each of bounded size.
pub(super) fn events(target: String, response: Response<AnswerBody>) -> impl Stream<Item = Result<Sse, ClientError>> + Send {
    let status = response.status().as_u16();
    let unfinished = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&unfinished);
    let bytes = response.into_body().into_data_stream().map_err(EventStreamError::Broken).and_then(move |chunk: Bytes| {
        let size = counter.fetch_add(chunk.len(), Ordering::Relaxed).saturating_add(chunk.len());
        std::future::ready(if size > LARGEST_EVENT { Err(EventStreamError::TooLarge) } else { Ok(chunk) })
    });
    SseByteStream::new(bytes).map(move |event| {
        unfinished.store(0, Ordering::Relaxed);
        event.map_err(|source| ClientError::Protocol { target: target.clone(), status: Some(status), detail: error::chain(&source) })
    })
}

/// Reads the values that the events of an answer carry; an event named `error` carries a [`Problem`] and is the last.
pub(super) fn values<T>(target: String, response: Response<AnswerBody>) -> ItemStream<T>
where
    T: DeserializeOwned + Send + 'static,
{
    let name = target.clone();
    let items = events(target, response).filter_map(move |event| {
        let item = match event {
            Err(error) => Some(Err(error)),
            Ok(event) => value(&name, &event),
        };
        std::future::ready(item)
    });
    Box::pin(items)
}

fn value<T: DeserializeOwned>(target: &str, event: &Sse) -> Option<Result<T, ClientError>> {
    let data = event.data.as_deref()?;
    let unreadable = |source: serde_json::Error| ClientError::Protocol {
        target: target.to_owned(),
        status: None,
        detail: format!("an event cannot be read: {source}"),
    };
    if event.event.as_deref() == Some("error") {
        return Some(Err(serde_json::from_str::<Problem>(data).map_or_else(unreadable, ClientError::Problem)));
    }
    Some(serde_json::from_str(data).map_err(unreadable))
}
