//! The body of an engine's answer on its way to the client: frames pass as they came, and the place in the engine
//! is held until the last one. A stream that the engine leaves unfinished ends with an error event.

mod lines;

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use http::HeaderValue;
use http_body::{Body, Frame, SizeHint};
use orchestrator_core::{ErrorCode, InstanceName, Problem};
use tokio::time::{Instant, Sleep};

use super::pool::{Pool, UpstreamBody};
use super::stations::Station;
use super::ticket::Ticket;
use super::usage::LastBytes;
use crate::error::openai_body;
use crate::request_id;
use lines::Lines;

/// How long an engine may be silent once it is known to be ended. One that is killed closes its connections, which is
/// seen at once; this is for one that ends in order, and for children of it that hold a connection open.
pub(super) const LAST_WORDS: Duration = Duration::from_secs(1);

/// What is known of an answer when its body begins.
pub(super) struct RelayOrder {
    /// The instance that answers.
    pub(super) instance: InstanceName,
    /// Where it listens.
    pub(super) address: SocketAddr,
    /// Whether the answer is a stream of events.
    pub(super) is_event_stream: bool,
    /// How long the engine may be silent.
    pub(super) silence: Duration,
    /// What is kept of the instance.
    pub(super) station: Arc<Station>,
    /// The client's request, where the answer goes to it.
    pub(super) ticket: Option<Ticket>,
    /// The request's id, for the log.
    pub(super) request_id: Option<HeaderValue>,
    /// Resolves when the engine has ended; holds the place in it.
    pub(super) gone: Gone,
}

/// A future that resolves when an engine has ended. In a set of its own it is looked at only when it was woken, and
/// not, with its locks, for each frame.
pub(super) type Gone = FuturesUnordered<Pin<Box<dyn Future<Output = ()> + Send>>>;

/// An engine's answer on its way to the client. Dropping it drops the request to the engine.
pub(super) struct Relay {
    order: RelayOrder,
    pool: Arc<Pool>,
    /// Nothing, once the answer is at its end.
    upstream: Option<UpstreamBody>,
    is_gone: bool,
    last_frame: Instant,
    deadline: Pin<Box<Sleep>>,
    tail: Tail,
    lines: Lines,
    last_bytes: LastBytes,
}

impl Relay {
    pub(super) fn new(order: RelayOrder, pool: Arc<Pool>, upstream: UpstreamBody) -> Self {
        let last_frame = Instant::now();
        let deadline = Box::pin(tokio::time::sleep_until(last_frame + order.silence));
        Self {
            order,
            pool,
            upstream: Some(upstream),
            is_gone: false,
            last_frame,
            deadline,
            tail: Tail::default(),
            lines: Lines::default(),
            last_bytes: LastBytes::default(),
        }
    }

    /// Looks at a piece that is passed on.
    fn saw(&mut self, data: &[u8]) {
        if let Some(ticket) = &mut self.order.ticket {
            ticket.saw_byte();
        }
        self.last_bytes.push(data);
        if self.order.is_event_stream {
            self.tail.saw(data);
        }
    }

    /// Returns what of a frame can be passed on now; of a stream of events only whole lines, and `None` when there is none.
    fn whole_lines(&mut self, frame: Frame<Bytes>, is_end: bool) -> Option<Frame<Bytes>> {
        let frame = match frame.into_data() {
            Ok(data) if self.order.is_event_stream => {
                let mut data = self.lines.pass(data);
                let rest = if is_end { self.lines.rest() } else { Bytes::new() };
                if !rest.is_empty() {
                    data = [data, rest].concat().into();
                }
                (!data.is_empty()).then(|| Frame::data(data))
            }
            Ok(data) => Some(Frame::data(data)),
            Err(trailers) => Some(trailers),
        };
        if let Some(data) = frame.as_ref().and_then(Frame::data_ref) {
            self.saw(data);
        }
        if is_end {
            self.finish();
        }
        frame
    }

    /// Ends the answer and keeps the connection for the next request.
    fn finish(&mut self) {
        if let Some(upstream) = self.upstream.take() {
            self.pool.put(self.order.address, upstream.into_connection());
            self.order.station.meters.count(self.last_bytes.tokens());
        }
        if let Some(ticket) = self.order.ticket.take() {
            ticket.complete();
        }
        // The place in the engine is free now, and not when the client has read the last byte.
        self.order.gone.clear();
    }

    /// Ends the answer although the engine had not: with an error event, or by closing the client's connection.
    fn break_off(&mut self, code: ErrorCode, cause: String) -> Option<Result<Frame<Bytes>, Problem>> {
        self.upstream = None;
        self.order.gone.clear();
        let ticket = self.order.ticket.take();
        let is_complete = self.order.is_event_stream && self.tail.is_done;
        self.order.station.meters.count(self.last_bytes.tokens());
        if let Some(ticket) = ticket {
            if is_complete { ticket.complete() } else { ticket.broke_off() }
        }
        let (instance, request_id) = (&self.order.instance, request_id::shown(self.order.request_id.as_ref()));
        tracing::warn!(request_id, %instance, %cause, "an answer broke off");
        if is_complete {
            return None;
        }
        let problem = Problem::new(code, format!("the answer of `{instance}` broke off")).with_cause(cause);
        let problem = problem.with_hint(format!("send the request again; `orch describe {instance}` shows what happened"));
        if self.order.is_event_stream { Some(Ok(Frame::data(self.tail.error_event(&problem)))) } else { Some(Err(problem)) }
    }

    /// Looks whether the engine ended or fell silent; there was nothing to read just now.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<(ErrorCode, String)> {
        if let Poll::Ready(Some(())) = self.order.gone.poll_next_unpin(cx) {
            self.is_gone = true;
            self.last_frame = Instant::now();
            self.deadline.as_mut().reset(self.last_frame + LAST_WORDS);
        }
        while self.deadline.as_mut().poll(cx).is_ready() {
            // The timer is not moved for each frame: that would cost more than looking here.
            let due = self.last_frame + if self.is_gone { LAST_WORDS } else { self.order.silence };
            if due > Instant::now() {
                self.deadline.as_mut().reset(due);
            } else if self.is_gone {
                return Poll::Ready((ErrorCode::UpstreamFailed, "its server ended".to_owned()));
            } else {
                let cause = format!("its server was silent for {:?}", self.order.silence);
                return Poll::Ready((ErrorCode::UpstreamTimeout, cause));
            }
        }
        Poll::Pending
    }
}

impl Body for Relay {
    type Data = Bytes;
    type Error = Problem;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Problem>>> {
        let this = self.get_mut();
        loop {
            let Some(upstream) = &mut this.upstream else {
                return Poll::Ready(None);
            };
            return match Pin::new(&mut *upstream).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    let is_end = upstream.is_end_stream();
                    this.last_frame = Instant::now();
                    match this.whole_lines(frame, is_end) {
                        Some(frame) => Poll::Ready(Some(Ok(frame))),
                        None if is_end => Poll::Ready(None),
                        None => continue,
                    }
                }
                Poll::Ready(None) => {
                    let rest = Some(this.lines.rest()).filter(|rest| !rest.is_empty());
                    if let Some(rest) = &rest {
                        this.saw(rest);
                    }
                    this.finish();
                    Poll::Ready(rest.map(|rest| Ok(Frame::data(rest))))
                }
                Poll::Ready(Some(Err(error))) => {
                    let cause = std::iter::once(error.to_string()).chain(orchestrator_core::error::causes_of(&error)).collect::<Vec<_>>();
                    Poll::Ready(this.break_off(ErrorCode::UpstreamFailed, cause.join(": ")))
                }
                Poll::Pending => match this.poll_end(cx) {
                    Poll::Ready((code, cause)) => Poll::Ready(this.break_off(code, cause)),
                    Poll::Pending => Poll::Pending,
                },
            };
        }
    }

    fn is_end_stream(&self) -> bool {
        self.upstream.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        self.upstream.as_ref().map_or_else(SizeHint::default, Body::size_hint)
    }
}

/// The end of what was passed on of a stream of events.
#[derive(Debug, Default)]
struct Tail {
    last: [u8; 2],
    /// Whether the stream said that it is complete.
    is_done: bool,
}

const DONE: &[u8] = b"[DONE]";

impl Tail {
    fn saw(&mut self, data: &[u8]) {
        match data {
            [.., before, last] => self.last = [*before, *last],
            [last] => self.last = [self.last[1], *last],
            [] => return,
        }
        self.is_done = data.trim_ascii_end().ends_with(DONE) || (self.is_done && data.trim_ascii().is_empty());
    }

    /// Writes the event that ends an unfinished stream, after an empty line where one is missing.
    fn error_event(&self, problem: &Problem) -> Bytes {
        let body = openai_body(problem);
        let mut event = BytesMut::with_capacity(body.len() + 16);
        match self.last {
            [0, 0] | [b'\n', b'\n'] => {}
            [_, b'\n'] => event.extend_from_slice(b"\n"),
            _ => event.extend_from_slice(b"\n\n"),
        }
        event.extend_from_slice(b"data: ");
        event.extend_from_slice(&body);
        event.extend_from_slice(b"\n\n");
        event.freeze()
    }
}
