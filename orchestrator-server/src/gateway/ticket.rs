//! A client's request as it is counted: from its arrival to the last byte of its answer, or to the client's leaving.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use axum::body::Body;
use bytes::Bytes;
use http::StatusCode;
use http_body::{Frame, SizeHint};

use super::stations::{Station, Stations};
use crate::metrics::{Outcome, Route};

/// Counts one request. What is not known of its end when it is dropped counts as given up by the client.
#[derive(Debug)]
pub(super) struct Ticket {
    begun: Instant,
    route: Route,
    station: Arc<Station>,
    is_placed: bool,
    has_begun_answer: bool,
    /// What the head of the answer says.
    head: Outcome,
    outcome: Outcome,
}

impl Ticket {
    pub(super) fn begin(stations: &Stations, route: Route) -> Self {
        Self {
            begun: Instant::now(),
            route,
            station: Arc::clone(stations.nowhere()),
            is_placed: false,
            has_begun_answer: false,
            head: Outcome::Success,
            outcome: Outcome::Aborted,
        }
    }

    /// It has a place in this instance. A request that is sent a second time may get one in another.
    pub(super) fn place(&mut self, station: &Arc<Station>) {
        if self.is_placed && Arc::ptr_eq(&self.station, station) {
            return;
        }
        if self.is_placed {
            self.station.meters.leave();
        } else {
            station.meters.wait.add(self.begun.elapsed());
        }
        station.meters.enter();
        self.station = Arc::clone(station);
        self.is_placed = true;
    }

    /// The head of its answer is known.
    pub(super) fn answered(&mut self, status: StatusCode) {
        self.head = Outcome::of(status);
    }

    /// A byte of its answer leaves.
    pub(super) fn saw_byte(&mut self) {
        if !std::mem::replace(&mut self.has_begun_answer, true) {
            self.station.meters.first_byte.add(self.begun.elapsed());
        }
    }

    /// Its answer is complete.
    pub(super) fn complete(mut self) {
        self.saw_byte();
        self.outcome = self.head;
    }

    /// The engine left its answer unfinished.
    pub(super) fn broke_off(mut self) {
        self.outcome = Outcome::Broken;
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.station.meters.ended(self.route, self.outcome, self.begun.elapsed());
        if self.is_placed {
            self.station.meters.leave();
        }
    }
}

/// An answer that is counted, of whatever kind its body is.
pub(super) struct Counted {
    body: Body,
    ticket: Option<Ticket>,
}

impl Counted {
    pub(super) fn new(body: Body, ticket: Ticket) -> Self {
        Self { body, ticket: Some(ticket) }
    }
}

impl http_body::Body for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        match &polled {
            Poll::Pending => {}
            Poll::Ready(Some(Ok(_))) => {
                if let Some(ticket) = &mut self.ticket {
                    ticket.saw_byte();
                }
            }
            Poll::Ready(Some(Err(_))) => self.ticket.take().map_or((), Ticket::broke_off),
            Poll::Ready(None) => self.ticket.take().map_or((), Ticket::complete),
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
