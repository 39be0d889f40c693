//! One answer to one request with tools: asks the engine, judges what it wrote, asks again where the policy says so,
//! and takes a weaker constraint where the engine refuses one.
//!
//! ```text
//! ask ─► refused constraint ─► ask with the next weaker one
//!  └──► generation ─► verdict ─► accepted ─► answer
//!           ▲            ├─► cut off by the limit ─► an answer that ends with `length`, without calls
//!           └─ asked again ◄── refused ─► given up ─► error
//! ```

use std::sync::Arc;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, Response};
use http_body_util::{BodyExt, Limited};
use orchestrator_core::instance::spec::ToolsMode;
use orchestrator_core::orchestrator::Requester;
use orchestrator_core::{ErrorCode, InstanceName, Problem};
use orchestrator_toolcall::{
    Call, Constraint, Correction, Envelope, Fidelity, Finish, ModelFamily, Reask, ReaskStep, RuntimeCapabilities, ToolSet, Verdict,
};

use super::super::proxy::{Forward, Proxy};
use super::super::{Admission, InstanceLease};
use super::error::{not_asked_again, unusable};
use super::generation::{self, End, Generation, Piece, Usage, Watch};
use super::report::Report;
use super::request::ToolRequest;
use super::speech::Speech;
use super::strict::{self, Attempt};
use super::validated;
use crate::request_id::{self, REQUEST_ID};

/// The largest refusal of an engine that is looked at.
const LARGEST_REFUSAL: usize = 1024 * 1024;
/// What engines say when it is the constraint that they do not like.
const CONSTRAINT_WORDS: [&str; 5] = ["grammar", "schema", "response_format", "parser", "structured"];

/// What is needed to answer one request.
pub(super) struct Turn<A: Admission> {
    pub(super) proxy: Arc<Proxy>,
    pub(super) admission: A,
    pub(super) model: String,
    pub(super) path: PathAndQuery,
    pub(super) requester: Requester,
    pub(super) headers: HeaderMap,
    pub(super) request: ToolRequest,
    pub(super) mode: ToolsMode,
    pub(super) instance: InstanceName,
    pub(super) family: ModelFamily,
    pub(super) capabilities: RuntimeCapabilities,
}

/// An answer that may leave.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) said: Said,
    /// What the engine said beside its own calls.
    pub(super) beside: String,
    pub(super) finish_reason: &'static str,
    pub(super) reasoning: String,
    pub(super) usage: Option<Usage>,
    /// The ids that the engine gave its calls.
    pub(super) ids: Vec<Option<String>>,
    pub(super) report: Report,
}

/// What is said: calls or words.
#[derive(Debug, PartialEq)]
pub(super) enum Said {
    Calls(Vec<Call>),
    Words(String),
}

/// Why there is no answer.
pub(super) enum Failure {
    /// A failure of the engine, or of the model's answers.
    Problem(Box<Problem>, Report),
    /// The engine refuses the request, in its own words.
    Refused(Box<Response<Bytes>>),
}

/// Where each try stands.
struct State {
    tools: ToolSet,
    constraint: Constraint,
    correction: Option<Box<Correction>>,
    report: Report,
    usage: Option<Usage>,
    reasoning: String,
}

impl<A: Admission> Turn<A> {
    /// Gets an answer. `lease` is the place for the first question; each further one waits for its own.
    pub(super) async fn run(self, lease: A::Lease, mut take: impl FnMut(Piece) + Send) -> Result<Outcome, Failure> {
        let tools = self.request.tools.clone();
        let constraint = Constraint::strongest(&tools, &self.capabilities);
        let mut reask = Reask::new(tools.clone());
        let report = Report::new(self.instance.clone(), self.mode);
        let mut state = State { tools, constraint, correction: None, report, usage: None, reasoning: String::new() };
        let mut lease = Some(lease);
        loop {
            let is_native = self.mode == ToolsMode::Validated && state.correction.is_none();
            let generation = self.generate(lease.take(), is_native, &mut state, &mut take).await?;
            state.usage = added(state.usage, generation.usage);
            state.reasoning.push_str(&generation.reasoning);
            let finish = self.finish_of(&generation);
            let (verdict, text) = if is_native {
                let verdict = validated::judge(&state.tools, &generation.text, &generation.calls, finish);
                (verdict, validated::quoted(&generation.text, &generation.calls))
            } else {
                (state.tools.parse(&generation.text, finish), generation.text.clone())
            };
            state.report.judged(&verdict);
            let is_cut = finish == Finish::Length && generation.end == End::Engine;
            if is_cut && (!verdict.is_accepted() || (is_native && generation.calls.is_empty())) {
                return self.cut_off(&generation, is_native, state);
            }
            match reask.next(&verdict, &text) {
                ReaskStep::Accept => return Ok(self.accepted(verdict, generation, state)),
                ReaskStep::Ask(correction) => {
                    state.report.reasks = reask.asked();
                    if correction.is_last || is_native {
                        state.constraint = Constraint::strongest(&correction.tools, &self.capabilities);
                    }
                    state.tools = correction.tools.clone();
                    state.correction = Some(correction);
                }
                ReaskStep::GiveUp(end) => {
                    let problem = unusable(end.problems(), reask.asked());
                    return Err(Failure::Problem(Box::new(problem), state.report.refused(end.code())));
                }
            }
        }
    }

    /// Asks the engine once, and again with weaker constraints where it refuses them.
    async fn generate(
        &self,
        mut lease: Option<A::Lease>,
        is_native: bool,
        state: &mut State,
        take: &mut (impl FnMut(Piece) + Send),
    ) -> Result<Generation, Failure> {
        loop {
            let body = if is_native { validated::body(&self.request) } else { strict::body(&self.request, &self.attempt(state)) };
            state.report.constraint = if is_native { "native" } else { state.constraint.name() };
            let failed = |problem: Problem| Failure::Problem(Box::new(problem), state.report.clone());
            let forward = Forward {
                method: Method::POST,
                path: self.path.clone(),
                headers: self.headers.clone(),
                body,
                is_final: true,
                requester: self.requester,
                // The client's request is counted as a whole, not question by question.
                ticket: &mut None,
            };
            let response = self.proxy.forward(&self.admission, &self.model, lease.take(), forward).await.map_err(failed)?;
            if response.status().is_success() {
                return generation::read(response, self.watch(is_native, state), take).await.map_err(failed);
            }
            let (head, body) = response.into_parts();
            let body: Bytes = match Limited::new(body, LARGEST_REFUSAL).collect().await {
                Ok(body) => body.to_bytes(),
                Err(source) => {
                    return Err(failed(
                        Problem::new(ErrorCode::UpstreamFailed, "the engine's refusal broke off").with_cause(source.to_string()),
                    ));
                }
            };
            let weaker = state.constraint.weaker(&state.tools).filter(|_| !is_native && is_about_constraint(&body));
            match weaker {
                Some(weaker) => {
                    let request_id = request_id::shown(self.headers.get(REQUEST_ID));
                    tracing::info!(request_id, instance = %self.instance, from = state.constraint.name(), to = weaker.name(), "the engine refuses a constraint");
                    state.report.degraded = true;
                    state.constraint = weaker;
                }
                None if state.correction.is_some() => {
                    return Err(Failure::Problem(Box::new(not_asked_again(&body)), state.report.clone().refused("toolcall.reask_refused")));
                }
                None => return Err(Failure::Refused(Box::new(Response::from_parts(head, body)))),
            }
        }
    }

    fn attempt<'a>(&self, state: &'a State) -> Attempt<'a> {
        Attempt {
            tools: &state.tools,
            constraint: &state.constraint,
            correction: state.correction.as_deref(),
            family: self.family,
            capabilities: self.capabilities,
        }
    }

    fn watch(&self, is_native: bool, state: &State) -> Watch {
        let speaks = validated::may_speak(&state.tools) && self.request.stops.is_empty();
        if is_native {
            return Watch::Native { speaks: validated::may_speak(&state.tools) };
        }
        Watch::envelope(if speaks { Speech::default() } else { Speech::silent() })
    }

    /// Says how a generation ended, whatever the engine says of it.
    fn finish_of(&self, generation: &Generation) -> Finish {
        match generation.end {
            End::Engine => {}
            End::Envelope => return Finish::Stop,
            End::Guard => return Finish::Length,
        }
        let generated = generation.usage.map(|usage| usage.completion);
        Finish::judge(generation.finish_reason.as_deref(), generated, self.request.cap)
    }

    fn accepted(&self, verdict: Verdict, generation: Generation, state: State) -> Outcome {
        let mut report = state.report;
        let (said, finish_reason) = match verdict.envelope {
            Some(Envelope::ToolCalls { calls }) => (Said::Calls(calls), "tool_calls"),
            Some(Envelope::Final { content }) => (Said::Words(self.stopped(content)), "stop"),
            None => (Said::Words(String::new()), "stop"),
        };
        report.finished(finish_reason, &said);
        let beside = if generation.calls.is_empty() { String::new() } else { generation.text };
        let ids = generation.calls.into_iter().map(|call| call.id).collect();
        Outcome { said, beside, finish_reason, reasoning: state.reasoning, usage: state.usage, ids, report }
    }

    /// The answer of a generation that the limit cut off: its words so far, and never a part of a call.
    fn cut_off(&self, generation: &Generation, is_native: bool, state: State) -> Result<Outcome, Failure> {
        let mut report = state.report;
        if generation.finish_reason.is_none() {
            let problem = Problem::new(ErrorCode::UpstreamFailed, "the engine's answer ended without saying why");
            return Err(Failure::Problem(Box::new(problem.with_hint("send the request again")), report));
        }
        let words = match (is_native, validated::may_speak(&state.tools)) {
            (true, true) => generation.text.clone(),
            (false, true) => Speech::default().push(&generation.text),
            (_, false) => String::new(),
        };
        let said = Said::Words(self.stopped(words));
        report.fidelity = Fidelity::Ambiguous;
        report.finished("length", &said);
        Ok(Outcome {
            said,
            beside: String::new(),
            finish_reason: "length",
            reasoning: state.reasoning,
            usage: state.usage,
            ids: Vec::new(),
            report,
        })
    }

    /// Ends words where the client wants them to end. In the engine these texts could cut an envelope.
    fn stopped(&self, mut words: String) -> String {
        if let Some(at) = self.request.stops.iter().filter_map(|stop| words.find(stop.as_str())).min() {
            words.truncate(at);
        }
        words
    }
}

fn is_about_constraint(body: &[u8]) -> bool {
    let text = String::from_utf8_lossy(body).to_lowercase();
    CONSTRAINT_WORDS.iter().any(|word| text.contains(word))
}

/// What all tries took together.
fn added(one: Option<Usage>, other: Option<Usage>) -> Option<Usage> {
    match (one, other) {
        (Some(one), Some(other)) => Some(Usage { prompt: one.prompt + other.prompt, completion: one.completion + other.completion }),
        (one, other) => one.or(other),
    }
}

/// Takes the place that a request was let in with.
pub(super) fn capabilities_of(lease: &impl InstanceLease) -> RuntimeCapabilities {
    strict::capabilities_of(lease.capabilities())
}
