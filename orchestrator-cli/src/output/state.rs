//! The state of an instance in words and colours.

use orchestrator_core::event::Timestamp;
use orchestrator_core::instance::{Failure, Health, InstanceState, StartStep};
use orchestrator_core::orchestrator::RuntimeStatus;
use owo_colors::Style;

/// Returns the colour of a health.
#[must_use]
pub(crate) fn health_style(health: Health) -> Style {
    match health {
        Health::Healthy => Style::new().green(),
        Health::Loading => Style::new().yellow(),
        Health::Unhealthy | Health::Error => Style::new().red(),
        Health::Unknown => Style::new().dimmed(),
    }
}

/// Returns the colour of how a runtime does.
#[must_use]
pub(crate) fn runtime_style(status: RuntimeStatus) -> Style {
    match status {
        RuntimeStatus::Online => Style::new().green(),
        RuntimeStatus::Degraded => Style::new().yellow(),
        RuntimeStatus::Offline => Style::new().dimmed(),
    }
}

/// Says in a few words why an instance is in its state.
#[must_use]
pub(crate) fn reason(state: &InstanceState) -> String {
    match state {
        InstanceState::Stopped { last_exit: None } => "nothing runs".to_owned(),
        InstanceState::Stopped { last_exit: Some(report) } => format!("the last server: {}", report.cause),
        InstanceState::Starting { step, .. } => step_words(*step).to_owned(),
        InstanceState::Loading { detail, .. } if detail.is_empty() => "the server is not ready yet".to_owned(),
        InstanceState::Loading { detail, .. } => detail.clone(),
        InstanceState::Ready { .. } => "the server answers".to_owned(),
        InstanceState::Unhealthy { reason, .. } => reason.clone(),
        InstanceState::Stopping { .. } => "the server is being ended".to_owned(),
        InstanceState::Backoff { until, attempt, failure } => {
            let seconds = (until.as_millis() - Timestamp::now().as_millis()).max(0).unsigned_abs().div_ceil(1_000);
            format!("{}; attempt {attempt} failed, the next one comes in {seconds} s", failure_words(failure))
        }
        InstanceState::Failed { failure, .. } => failure_words(failure),
    }
}

/// Returns whether the instance should run and does not do so well.
#[must_use]
pub(crate) const fn is_in_trouble(state: &InstanceState) -> bool {
    match state {
        InstanceState::Unhealthy { .. } | InstanceState::Backoff { .. } | InstanceState::Failed { .. } => true,
        InstanceState::Stopped { .. }
        | InstanceState::Starting { .. }
        | InstanceState::Loading { .. }
        | InstanceState::Ready { .. }
        | InstanceState::Stopping { .. } => false,
    }
}

/// Returns the last lines of the engine's error output, where a failure left some.
#[must_use]
pub(crate) fn last_words(state: &InstanceState) -> &[String] {
    match state {
        InstanceState::Stopped { last_exit: Some(report) }
        | InstanceState::Backoff { failure: Failure::Exited(report), .. }
        | InstanceState::Failed { failure: Failure::Exited(report), .. } => &report.stderr_tail,
        InstanceState::Backoff { failure: Failure::NotStarted(problem), .. }
        | InstanceState::Failed { failure: Failure::NotStarted(problem), .. } => &problem.stderr_tail,
        InstanceState::Stopped { last_exit: None }
        | InstanceState::Starting { .. }
        | InstanceState::Loading { .. }
        | InstanceState::Ready { .. }
        | InstanceState::Unhealthy { .. }
        | InstanceState::Stopping { .. } => &[],
    }
}

const fn step_words(step: StartStep) -> &'static str {
    match step {
        StartStep::ResolvingModel => "looking at the model",
        StartStep::FindingEngine => "looking for the engine",
        StartStep::WaitingForRoom => "waiting for room in memory",
        StartStep::Launching => "starting the server",
    }
}

fn failure_words(failure: &Failure) -> String {
    match failure {
        Failure::NotStarted(problem) => problem.to_string(),
        Failure::Exited(report) => report.cause.to_string(),
    }
}
