//! Requests that offer tools, for instances whose `tools.mode` is not `passthrough`: what leaves as a call matched
//! its tool's schema, or the request fails.
//!
//! ```text
//! request (what is asked) ─► turn (ask, judge, ask again) ─► answer or stream (OpenAI's protocol)
//!                             │  strict, history: what the engine is sent
//!                             │  generation, speech: what it writes, as it comes
//!                             └─ validated: its native calls
//! ```
//!
//! Owns no judgement: that is the business of `orchestrator-toolcall`. Knows engines only through the proxy.

mod answer;
mod error;
mod generation;
mod history;
mod report;
mod request;
mod speech;
mod stream;
mod strict;
mod turn;
mod validated;

use std::sync::Arc;

use axum::body::Body;
use http::Response;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use orchestrator_core::instance::InstanceSpec;
use orchestrator_core::instance::spec::ToolsMode;
use orchestrator_core::{InstanceName, Problem};
use orchestrator_toolcall::ModelFamily;

use super::proxy::{Forward, INSTANCE_HEADER};
use super::ticket::{Counted, Ticket};
use super::{Admission, Gateway, InstanceLease, headers, routing};
use crate::error::Dialect;
use answer::Letterhead;
use error::ToolRequestError;
use request::{Delivery, ToolRequest};
use turn::{Failure, Turn};

pub(crate) use stream::Pace;

/// In a request: the mode for this one. In an answer: what became of it.
pub(super) const HEADER: HeaderName = HeaderName::from_static("x-orchestrator-tools");

impl<A: Admission> Gateway<A> {
    /// Answers a chat request that seems to offer tools.
    pub(super) async fn tool_request(&self, model: &str, mut forward: Forward<'_>) -> Result<Response<Body>, Problem> {
        let lease = self.admission.admit(model, forward.requester).await?;
        if let Some(ticket) = forward.ticket.as_mut() {
            ticket.place(self.stations().of(lease.instance()));
        }
        let mode = mode_of(&forward.headers, lease.spec())?;
        if mode == ToolsMode::Passthrough {
            return self.proxy.forward(&self.admission, model, Some(lease), forward).await;
        }
        let changes = &lease.spec().request;
        if !changes.is_empty() {
            forward.body = routing::rewrite(&forward.body, changes)?;
            forward.is_final = true;
        }
        let Some(request) = ToolRequest::read(&forward.body)? else {
            return self.proxy.forward(&self.admission, model, Some(lease), forward).await;
        };
        let spec = lease.spec();
        let instance = spec.name.clone();
        let delivery = request.delivery;
        headers::for_engine(&mut forward.headers);
        let turn = Turn {
            proxy: Arc::clone(&self.proxy),
            admission: self.admission.clone(),
            model: model.to_owned(),
            path: forward.path,
            requester: forward.requester,
            headers: forward.headers,
            request,
            mode,
            instance: instance.clone(),
            family: ModelFamily::of_model(&format!("{} {}", spec.model.reference, spec.name)),
            capabilities: turn::capabilities_of(&lease),
        };
        let letterhead = Letterhead::new(&instance);
        let mut response = match delivery {
            Delivery::Whole => self.whole(turn, lease, &letterhead).await,
            Delivery::Stream { with_usage } => {
                let progress = stream::Progress::begin(|pieces| {
                    turn.run(lease, move |piece| {
                        // Whoever reads them may be gone; then this work is about to be dropped.
                        let _ = pieces.send(piece);
                    })
                });
                let admission = self.admission.clone();
                let witness = Box::new(move |report: &report::Report| admission.record(report.event()));
                let response = stream::respond(progress, letterhead, (mode, with_usage), self.pace, witness).await;
                counted(response, forward.ticket)
            }
        };
        name_instance(&mut response, &instance);
        Ok(response)
    }

    async fn whole(&self, turn: Turn<A>, lease: A::Lease, letterhead: &Letterhead) -> Response<Body> {
        match turn.run(lease, |_| {}).await {
            Ok(outcome) => {
                self.admission.record(outcome.report.event());
                let mut response = Response::new(Body::from(letterhead.whole(&outcome)));
                response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
                if let Some(header) = outcome.report.header() {
                    response.headers_mut().insert(HEADER, header);
                }
                response
            }
            Err(failure) => {
                if let Failure::Problem(_, report) = &failure {
                    self.admission.record(report.event());
                }
                failure_response(failure)
            }
        }
    }
}

/// Counts the client's request until the last byte of its stream.
fn counted(response: Response<Body>, ticket: &mut Option<Ticket>) -> Response<Body> {
    let Some(mut ticket) = ticket.take() else { return response };
    ticket.answered(response.status());
    response.map(|body| Body::new(Counted::new(body, ticket)))
}

/// Writes a failure before anything has left.
fn failure_response(failure: Failure) -> Response<Body> {
    match failure {
        Failure::Problem(problem, report) => {
            let mut response = Dialect::OpenAi.response(&problem);
            if let Some(header) = report.header() {
                response.headers_mut().insert(HEADER, header);
            }
            response
        }
        Failure::Refused(response) => response.map(Body::from),
    }
}

/// The mode of the instance, or the one that the request asks for itself.
fn mode_of(headers: &HeaderMap, spec: &InstanceSpec) -> Result<ToolsMode, ToolRequestError> {
    let Some(wanted) = headers.get(HEADER) else { return Ok(spec.tools.mode) };
    ToolsMode::ALL.into_iter().find(|mode| wanted.as_bytes() == mode.as_str().as_bytes()).ok_or(ToolRequestError::Mode)
}

fn name_instance(response: &mut Response<Body>, instance: &InstanceName) {
    if let Ok(value) = HeaderValue::from_str(instance.as_str()) {
        response.headers_mut().insert(INSTANCE_HEADER, value);
    }
}
