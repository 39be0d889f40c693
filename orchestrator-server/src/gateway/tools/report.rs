//! What became of a request with tools, for its client's header, for events, and for nobody's eyes else: names and
//! kinds, never arguments.

use http::HeaderValue;
use orchestrator_core::InstanceName;
use orchestrator_core::event::{EventDraft, EventKind};
use orchestrator_core::instance::spec::ToolsMode;
use orchestrator_toolcall::{Edit, Fidelity, Verdict};
use serde_json::{Value, json};

use super::turn::Said;

/// What became of a request with tools.
#[derive(Debug, Clone)]
pub(super) struct Report {
    pub(super) instance: InstanceName,
    pub(super) mode: ToolsMode,
    pub(super) fidelity: Fidelity,
    pub(super) reasks: usize,
    /// What the last generation was held to.
    pub(super) constraint: &'static str,
    /// Whether the engine refused a stronger constraint.
    pub(super) degraded: bool,
    edits: Vec<&'static str>,
    calls: Vec<String>,
    finish_reason: Option<&'static str>,
    /// Why the answer was refused.
    refusal: Option<&'static str>,
    findings: Vec<String>,
}

impl Report {
    /// Begins a report.
    pub(super) fn new(instance: InstanceName, mode: ToolsMode) -> Self {
        Self {
            instance,
            mode,
            fidelity: Fidelity::Ambiguous,
            reasks: 0,
            constraint: "none",
            degraded: false,
            edits: Vec::new(),
            calls: Vec::new(),
            finish_reason: None,
            refusal: None,
            findings: Vec::new(),
        }
    }

    /// Takes a verdict.
    pub(super) fn judged(&mut self, verdict: &Verdict) {
        self.fidelity = verdict.fidelity;
        self.edits = verdict.edits.iter().map(|Edit { kind, .. }| kind.as_str()).collect();
        self.findings = verdict.errors.iter().map(ToString::to_string).collect();
    }

    /// Takes what leaves.
    pub(super) fn finished(&mut self, reason: &'static str, said: &Said) {
        self.finish_reason = Some(reason);
        if let Said::Calls(calls) = said {
            self.calls = calls.iter().map(|call| call.name.clone()).collect();
        }
    }

    /// Says that nothing leaves.
    pub(super) fn refused(mut self, code: &'static str) -> Self {
        self.refusal = Some(code);
        self
    }

    /// The value of the header `x-orchestrator-tools`.
    pub(super) fn header_text(&self) -> String {
        let outcome = if self.refusal.is_some() { "refused" } else { self.fidelity.as_str() };
        format!("{outcome}; reasks={}; constraint={}", self.reasks, self.constraint)
    }

    /// The header's value before the outcome is known.
    pub(super) fn pending_header(mode: ToolsMode) -> HeaderValue {
        HeaderValue::from_static(match mode {
            ToolsMode::Validated => "pending; mode=validated",
            _ => "pending; mode=strict",
        })
    }

    /// The same as [`Self::header_text`], as a header's value.
    pub(super) fn header(&self) -> Option<HeaderValue> {
        HeaderValue::from_str(&self.header_text()).ok()
    }

    /// The event that tells of it.
    pub(super) fn event(&self) -> EventDraft {
        let what = match (self.refusal, self.calls.len()) {
            (Some(_), _) => "no valid answer".to_owned(),
            (None, 0) => "an answer in words".to_owned(),
            (None, 1) => "1 tool call".to_owned(),
            (None, count) => format!("{count} tool calls"),
        };
        let message = format!("`{}` gave {what} ({}): {}", self.instance, self.mode.as_str(), self.header_text());
        let data = json!({
            "mode": self.mode,
            "fidelity": self.fidelity,
            "reasks": self.reasks,
            "constraint": self.constraint,
            "degraded": self.degraded,
            "edits": self.edits,
            "calls": self.calls,
            "finish_reason": self.finish_reason,
            "refused": self.refusal,
            "findings": if self.refusal.is_some() { Value::from(self.findings.clone()) } else { Value::Null },
        });
        EventDraft::new(EventKind::ToolCalls, message).about(&self.instance).with_data(data)
    }
}
