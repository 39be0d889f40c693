//! Events: a page of them, or a stream that begins in the store and goes on live, without a gap and without a
//! duplicate, also where the home changes hands meanwhile.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{Event as SseEvent, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use futures_util::{Stream, StreamExt, stream};
use orchestrator_core::event::Event;
use orchestrator_core::{ErrorCode, Orchestrator, Problem};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use super::operations::wants_stream;
use super::{Control, QueryOf};
use crate::Client;
use crate::api::EventQuery;
use crate::daemon::seat::{Seat, Settled};
use crate::error::Refused;

/// How many events are read from the store at a time.
const PAGE: usize = 500;

pub(super) async fn events(
    State(control): State<Control>,
    QueryOf(query): QueryOf<EventQuery>,
    Extension(seat): Extension<Seat>,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    if !query.follow && !wants_stream(&headers) {
        let limit = query.limit.min(EventQuery::LARGEST_LIMIT);
        let events = match query.after {
            Some(after) => control.orchestrator.events_after(after, limit).await?,
            None => control.orchestrator.last_events(limit).await?,
        };
        return Ok(Json(events).into_response());
    }
    let after = last_event_id(&headers)?.or(query.after);
    let (events, last) = follow(control.orchestrator, after).await?;
    let events = Box::pin(events.take_until(control.streams.cancelled_owned()));
    let events = follow_on(Succeeding { events, last, seat, is_ours: true }).map(|event| match event {
        Ok(event) => SseEvent::default().id(event.sequence.to_string()).json_data(event),
        Err(problem) => SseEvent::default().event("error").json_data(problem),
    });
    let events = events.take_until(control.ending.cancelled_owned());
    Ok(Sse::new(events).keep_alive(KeepAlive::default()).into_response())
}

fn last_event_id(headers: &HeaderMap) -> Result<Option<u64>, Refused> {
    let Some(value) = headers.get("last-event-id") else { return Ok(None) };
    let number = value.to_str().ok().and_then(|text| text.trim().parse().ok());
    match number {
        Some(number) => Ok(Some(number)),
        None => Err(Refused(Problem::new(ErrorCode::RequestInvalid, "the `Last-Event-ID` is no number of an event"))),
    }
}

type Events = Pin<Box<dyn Stream<Item = Result<Event, Problem>> + Send>>;

/// A stream of events, and where it goes on when the home is not ours any more.
struct Succeeding {
    events: Events,
    /// The number of the last event that was passed on.
    last: u64,
    seat: Seat,
    is_ours: bool,
}

/// Goes on with the events of whoever owns the home.
fn follow_on(succeeding: Succeeding) -> impl Stream<Item = Result<Event, Problem>> + Send {
    stream::unfold(succeeding, |mut succeeding| async move {
        loop {
            if let Some(event) = succeeding.events.next().await {
                if let Ok(event) = &event {
                    succeeding.last = event.sequence;
                }
                return Some((event, succeeding));
            }
            if !succeeding.is_ours {
                return None;
            }
            match succeeding.seat.settled().await {
                Settled::Owning(owned) if owned.streams.is_cancelled() => return None,
                Settled::Owning(owned) => match follow(owned.orchestrator.clone(), Some(succeeding.last)).await {
                    Ok((events, _)) => succeeding.events = Box::pin(events.take_until(owned.streams.clone().cancelled_owned())),
                    Err(problem) => {
                        return Some((Err(problem), Succeeding { events: Box::pin(stream::empty()), is_ours: false, ..succeeding }));
                    }
                },
                Settled::Retired => {
                    succeeding.is_ours = false;
                    let events = Client::unix(succeeding.seat.socket()).follow_events(succeeding.last).await.ok()?;
                    succeeding.events = Box::pin(events.map(|event| event.map_err(Problem::from)));
                }
            }
        }
    })
}

/// Where events come from: the facade of the core, or a stand-in.
trait EventSource: Send + 'static {
    fn after(&self, sequence: u64, limit: usize) -> impl Future<Output = Result<Vec<Event>, Problem>> + Send;
    fn newest(&self) -> impl Future<Output = Result<u64, Problem>> + Send;
    fn subscribe(&self) -> broadcast::Receiver<Event>;
}

impl EventSource for Orchestrator {
    async fn after(&self, sequence: u64, limit: usize) -> Result<Vec<Event>, Problem> {
        self.events_after(sequence, limit).await
    }

    async fn newest(&self) -> Result<u64, Problem> {
        Ok(self.last_events(1).await?.last().map_or(0, |event| event.sequence))
    }

    fn subscribe(&self) -> broadcast::Receiver<Event> {
        Orchestrator::subscribe(self)
    }
}

/// Follows events from after a number, or from now on.
/// Also returns the number before the first one.
async fn follow<S: EventSource>(
    source: S,
    after: Option<u64>,
) -> Result<(impl Stream<Item = Result<Event, Problem>> + Send, u64), Problem> {
    // Listening begins before the store is read: what happens in between comes twice, and is passed on once.
    let live = source.subscribe();
    let newest = source.newest().await?;
    // A number beyond the newest is from a database that is gone: those events will not come again.
    let last = after.map_or(newest, |after| after.min(newest));
    let follower = Follower { source, live, last, stored: VecDeque::new(), ahead: None, is_replaying: true, is_over: false };
    Ok((stream::unfold(follower, |mut follower| async move { follower.next().await.map(|event| (event, follower)) }), last))
}

struct Follower<S> {
    source: S,
    live: broadcast::Receiver<Event>,
    /// The number of the last event that was passed on.
    last: u64,
    /// Events read from the store and not passed on yet.
    stored: VecDeque<Event>,
    /// A live event that came before others were passed on.
    ahead: Option<Event>,
    is_replaying: bool,
    is_over: bool,
}

impl<S: EventSource> Follower<S> {
    async fn next(&mut self) -> Option<Result<Event, Problem>> {
        while !self.is_over {
            if let Some(event) = self.stored.pop_front() {
                if event.sequence > self.last {
                    self.last = event.sequence;
                    return Some(Ok(event));
                }
                continue;
            }
            if self.is_replaying {
                match self.source.after(self.last, PAGE).await {
                    Ok(page) if page.is_empty() => {
                        self.is_replaying = false;
                        self.stored.extend(self.ahead.take());
                    }
                    Ok(page) => self.stored.extend(page),
                    Err(problem) => {
                        self.is_over = true;
                        return Some(Err(problem));
                    }
                }
                continue;
            }
            match self.live.recv().await {
                Ok(event) if event.sequence <= self.last => {}
                Ok(event) if event.sequence == self.last + 1 => self.stored.push_back(event),
                // Events are missing in between: they are in the store, if anywhere.
                Ok(event) => {
                    self.ahead = Some(event);
                    self.is_replaying = true;
                }
                Err(RecvError::Lagged(_)) => self.is_replaying = true,
                Err(RecvError::Closed) => self.is_over = true,
            }
        }
        None
    }
}

#[cfg(test)]
mod tests;
