//! An answer with tools as a stream of events: nothing of a call leaves before the whole is proven, words of a final
//! answer leave as they come, and comments keep the connection alive in between.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use http::Response;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use orchestrator_core::instance::spec::ToolsMode;
use tokio::sync::mpsc;

use super::answer::Letterhead;
use super::generation::Piece;
use super::report::Report;
use super::turn::{Failure, Outcome, Said};
use super::{HEADER, failure_response};
use crate::error::openai_body;

/// What is sent while there is nothing to say; clients skip it.
const WAITING: &str = ": waiting\n\n";

/// How long a streaming client waits for what.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// How long the head is held back: an outcome that comes until then can still decide about the status.
    pub(crate) head: Duration,
    /// The time between two signs of life.
    pub(crate) keep_alive: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { head: Duration::from_secs(1), keep_alive: Duration::from_secs(5) }
    }
}

/// What comes to an answer.
type Work = Pin<Box<dyn Future<Output = Result<Outcome, Failure>> + Send>>;

/// The work on one answer, and the pieces that leave before its end. Dropping it ends the work.
pub(super) struct Progress {
    work: Option<Work>,
    pieces: mpsc::UnboundedReceiver<Piece>,
    result: Option<Result<Outcome, Failure>>,
}

enum Step {
    Piece(Piece),
    Done(Result<Box<Outcome>, Failure>),
}

impl Progress {
    /// Begins: `work` gets the end that takes the pieces.
    pub(super) fn begin<F>(work: impl FnOnce(mpsc::UnboundedSender<Piece>) -> F) -> Self
    where
        F: Future<Output = Result<Outcome, Failure>> + Send + 'static,
    {
        let (sender, pieces) = mpsc::unbounded_channel();
        Self { work: Some(Box::pin(work(sender))), pieces, result: None }
    }

    /// Waits for what comes next; nothing after the end. Cancel-safe: the work goes on with the next call.
    async fn next(&mut self) -> Option<Step> {
        loop {
            if let Ok(piece) = self.pieces.try_recv() {
                return Some(Step::Piece(piece));
            }
            if let Some(result) = self.result.take() {
                return Some(Step::Done(result.map(Box::new)));
            }
            let work = self.work.as_mut()?;
            tokio::select! {
                biased;
                Some(piece) = self.pieces.recv() => return Some(Step::Piece(piece)),
                result = work => {
                    self.result = Some(result);
                    self.work = None;
                }
            }
        }
    }
}

/// What is told of the end of an answer to whoever keeps the events.
pub(super) type Witness = Box<dyn FnOnce(&Report) + Send>;

/// Answers as a stream.
pub(super) async fn respond(
    mut progress: Progress,
    letterhead: Letterhead,
    stream: (ToolsMode, bool),
    pace: Pace,
    witness: Witness,
) -> Response<Body> {
    let (mode, with_usage) = stream;
    let first = tokio::time::timeout(pace.head, progress.next()).await;
    let mut sender = Sender {
        progress,
        letterhead,
        keep_alive: pace.keep_alive,
        with_usage,
        witness: Some(witness),
        spoken: String::new(),
        is_open: false,
        is_over: false,
        ready: None,
    };
    let mut header = Some(Report::pending_header(mode));
    match first {
        Err(_) => sender.ready = Some(WAITING.into()),
        Ok(None) => sender.is_over = true,
        Ok(Some(Step::Done(Err(failure)))) => {
            sender.testify(&failure);
            return failure_response(failure);
        }
        Ok(Some(step)) => {
            if let Step::Done(Ok(outcome)) = &step {
                header = outcome.report.header();
            }
            sender.ready = Some(sender.write(step));
        }
    }
    let events = stream::unfold(sender, |mut sender| async move {
        let bytes = sender.next().await?;
        Some((Ok::<_, Infallible>(bytes), sender))
    });
    let mut response = Response::new(Body::from_stream(events));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if let Some(header) = header {
        headers.insert(HEADER, header);
    }
    response
}

/// Writes the events of one answer.
struct Sender {
    progress: Progress,
    letterhead: Letterhead,
    keep_alive: Duration,
    with_usage: bool,
    witness: Option<Witness>,
    /// The words that have left.
    spoken: String,
    /// Whether the first chunk has left.
    is_open: bool,
    is_over: bool,
    ready: Option<Bytes>,
}

impl Sender {
    async fn next(&mut self) -> Option<Bytes> {
        if let Some(ready) = self.ready.take() {
            return Some(ready);
        }
        if self.is_over {
            return None;
        }
        match tokio::time::timeout(self.keep_alive, self.progress.next()).await {
            Err(_) => Some(WAITING.into()),
            Ok(Some(step)) => Some(self.write(step)),
            Ok(None) => None,
        }
    }

    fn write(&mut self, step: Step) -> Bytes {
        let mut text = String::new();
        if !self.is_open && !matches!(step, Step::Done(Err(_))) {
            self.is_open = true;
            text.push_str(&self.letterhead.opening());
        }
        match step {
            Step::Piece(piece) => {
                if let Piece::Content(words) = &piece {
                    self.spoken.push_str(words);
                }
                text.push_str(&self.letterhead.piece(&piece));
            }
            Step::Done(Ok(outcome)) => {
                self.is_over = true;
                self.tell(&outcome.report);
                text.push_str(&self.last_words(&outcome));
            }
            Step::Done(Err(failure)) => {
                self.is_over = true;
                self.testify(&failure);
                text.push_str(&error_event(failure));
            }
        }
        text.into()
    }

    /// The end of the stream. Words that have left and are not how the answer begins cannot be taken back: the answer
    /// that came after them follows as a paragraph of its own.
    fn last_words(&self, outcome: &Outcome) -> String {
        match &outcome.said {
            Said::Words(words) if !words.starts_with(&self.spoken) => {
                let follows = self.letterhead.piece(&Piece::Content(format!("\n\n{words}")));
                follows + &self.letterhead.closing(outcome, words, self.with_usage)
            }
            _ => self.letterhead.closing(outcome, &self.spoken, self.with_usage),
        }
    }

    fn testify(&mut self, failure: &Failure) {
        if let Failure::Problem(_, report) = failure {
            self.tell(report);
        }
    }

    fn tell(&mut self, report: &Report) {
        if let Some(witness) = self.witness.take() {
            witness(report);
        }
    }
}

/// The event that ends an answer that cannot be given.
fn error_event(failure: Failure) -> String {
    let body = match failure {
        Failure::Problem(problem, _) => openai_body(&problem),
        Failure::Refused(response) => response.into_body(),
    };
    // One line: an engine may have written several.
    let body = String::from_utf8_lossy(&body).replace(['\n', '\r'], " ");
    format!("data: {body}\n\n")
}
