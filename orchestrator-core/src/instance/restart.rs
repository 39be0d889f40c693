//! The restart policy: what to do after a server ended that should run. Pure.

use std::time::Duration;

use super::spec::RestartPolicySpec;
use super::state::{ExitCause, Failure};
use crate::error::ErrorCode;

/// How many times in a row a lost race for a port is repeated at once.
const PORT_RACES: u32 = 3;

/// What happened to the starts before this failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RestartHistory {
    /// How many starts failed or ended in a row before this one.
    pub failures: u32,
    /// How long the server had been ready when it ended; `None` when it never was.
    pub ready_for: Option<Duration>,
    /// Whether people chose the port; another one cannot be tried then.
    pub port_is_configured: bool,
}

/// What to do after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestartDecision {
    /// Start again after a wait.
    Retry {
        /// How long to wait.
        after: Duration,
        /// How many failures in a row this makes.
        attempt: u32,
    },
    /// Start again at once: it lost a race for a port that we had chosen, and another one will do.
    AnotherPort {
        /// How many failures in a row this makes.
        attempt: u32,
    },
    /// Leave it to a person.
    GiveUp(GiveUpReason),
}

/// Why there is no other start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GiveUpReason {
    /// The policy forbids it.
    Disabled,
    /// It was tried as often as the policy allows.
    OutOfRetries {
        /// How often that is.
        max_retries: u32,
    },
    /// The same start could only fail in the same way.
    CannotImprove,
}

impl std::fmt::Display for GiveUpReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Disabled => f.write_str("it is not started again, as `restart_policy.enabled` is false"),
            Self::OutOfRetries { max_retries } => {
                write!(f, "it was started again {max_retries} times, as often as its restart policy allows")
            }
            Self::CannotImprove => f.write_str("it is not started again, as that would fail in the same way"),
        }
    }
}

/// Decides what to do after `failure`. `jitter` lies in 0..1 and spreads the waits by up to a tenth, so that
/// servers which failed together do not start together.
#[must_use]
pub fn decide(policy: &RestartPolicySpec, history: RestartHistory, failure: &Failure, jitter: f64) -> RestartDecision {
    let healthy_again = history.ready_for.is_some_and(|ready_for| ready_for >= policy.reset_after.get());
    let attempt = if healthy_again { 1 } else { history.failures.saturating_add(1) };
    if lost_a_race_for_its_port(failure) && !history.port_is_configured && attempt <= PORT_RACES {
        return RestartDecision::AnotherPort { attempt };
    }
    if !policy.enabled {
        return RestartDecision::GiveUp(GiveUpReason::Disabled);
    }
    if cannot_improve(failure, history.ready_for.is_some()) {
        return RestartDecision::GiveUp(GiveUpReason::CannotImprove);
    }
    if attempt > policy.max_retries && !waits_for_room(failure) {
        return RestartDecision::GiveUp(GiveUpReason::OutOfRetries { max_retries: policy.max_retries });
    }
    RestartDecision::Retry { after: delay(policy, attempt, jitter), attempt }
}

fn delay(policy: &RestartPolicySpec, attempt: u32, jitter: f64) -> Duration {
    let longest = policy.max_delay.get().as_secs_f64();
    let exponent = i32::try_from(attempt.saturating_sub(1)).unwrap_or(i32::MAX);
    let grown = policy.initial_delay.get().as_secs_f64() * policy.backoff_multiplier.max(1.0).powi(exponent);
    // `min` also takes care of an infinite product; a NaN (0 × ∞) becomes the longest wait.
    let spread = grown.min(longest) * (1.0 + 0.1 * jitter.clamp(0.0, 1.0));
    Duration::try_from_secs_f64(spread.min(longest)).unwrap_or_else(|_| policy.max_delay.get())
}

fn lost_a_race_for_its_port(failure: &Failure) -> bool {
    matches!(failure, Failure::Exited(report) if report.cause == ExitCause::PortTaken)
}

/// Returns whether it is the disk that must improve, which no number of tries does: it comes up when there is room.
fn waits_for_room(failure: &Failure) -> bool {
    matches!(failure, Failure::NotStarted(problem) if problem.code == ErrorCode::DiskFull)
}

/// Returns whether the same start can only fail in the same way.
fn cannot_improve(failure: &Failure, was_ready: bool) -> bool {
    match failure {
        Failure::NotStarted(problem) => !matches!(problem.code, ErrorCode::DiskFull | ErrorCode::StoreFailed | ErrorCode::Internal),
        Failure::Exited(report) => report.cause.is_permanent() && !was_ready,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Problem;
    use crate::event::Timestamp;
    use crate::instance::ExitReport;

    fn exited(cause: ExitCause) -> Failure {
        Failure::Exited(ExitReport { cause, stderr_tail: Vec::new(), at: Timestamp::now() })
    }

    fn crash() -> Failure {
        exited(ExitCause::Status { status: 1 })
    }

    fn after(failures: u32, failure: &Failure) -> RestartDecision {
        decide(&RestartPolicySpec::default(), RestartHistory { failures, ..RestartHistory::default() }, failure, 0.0)
    }

    #[test]
    fn waits_double_up_to_the_cap() {
        for (failures, seconds) in [(0, 1), (1, 2), (2, 4), (5, 32), (6, 60), (9, 60)] {
            let expected = RestartDecision::Retry { after: Duration::from_secs(seconds), attempt: failures + 1 };
            assert_eq!(after(failures, &crash()), expected, "after {failures} failures");
        }
    }

    #[test]
    fn gives_up_after_the_last_retry() {
        assert_eq!(after(10, &crash()), RestartDecision::GiveUp(GiveUpReason::OutOfRetries { max_retries: 10 }));
    }

    #[test]
    fn jitter_spreads_and_never_passes_the_cap() {
        let policy = RestartPolicySpec::default();
        let wait = |failures, jitter| decide(&policy, RestartHistory { failures, ..Default::default() }, &crash(), jitter);
        assert_eq!(wait(0, 1.0), RestartDecision::Retry { after: Duration::from_millis(1_100), attempt: 1 });
        assert_eq!(wait(8, 1.0), RestartDecision::Retry { after: Duration::from_mins(1), attempt: 9 });
    }

    #[test]
    fn absurd_policies_still_give_a_wait() {
        let policy = RestartPolicySpec { backoff_multiplier: 1e300, max_retries: u32::MAX, ..RestartPolicySpec::default() };
        let history = RestartHistory { failures: u32::MAX - 1, ..RestartHistory::default() };
        let expected = RestartDecision::Retry { after: policy.max_delay.get(), attempt: u32::MAX };
        assert_eq!(decide(&policy, history, &crash(), 0.5), expected);
    }

    #[test]
    fn a_healthy_period_clears_the_count() {
        let history = RestartHistory { failures: 9, ready_for: Some(Duration::from_mins(10)), port_is_configured: false };
        let decision = decide(&RestartPolicySpec::default(), history, &crash(), 0.0);
        assert_eq!(decision, RestartDecision::Retry { after: Duration::from_secs(1), attempt: 1 });
    }

    #[test]
    fn what_cannot_improve_is_not_tried_again() {
        let hopeless = RestartDecision::GiveUp(GiveUpReason::CannotImprove);
        assert_eq!(after(0, &exited(ExitCause::BadArgument { detail: "--foo".to_owned() })), hopeless);
        assert_eq!(after(0, &Failure::NotStarted(Problem::new(ErrorCode::ModelInvalid, "no model"))), hopeless);
    }

    #[test]
    fn a_full_disk_is_waited_for() {
        let full = Failure::NotStarted(Problem::new(ErrorCode::DiskFull, "full"));
        for failures in [0, 10, 1_000] {
            assert!(matches!(after(failures, &full), RestartDecision::Retry { .. }), "after {failures} failures");
        }
    }

    #[test]
    fn a_lost_race_for_a_chosen_port_is_repeated_at_once_but_not_forever() {
        let race = exited(ExitCause::PortTaken);
        assert_eq!(after(0, &race), RestartDecision::AnotherPort { attempt: 1 });
        assert!(matches!(after(3, &race), RestartDecision::Retry { after, .. } if after > Duration::ZERO));
    }

    #[test]
    fn a_lost_race_for_a_configured_port_waits() {
        let history = RestartHistory { port_is_configured: true, ..RestartHistory::default() };
        let decision = decide(&RestartPolicySpec::default(), history, &exited(ExitCause::PortTaken), 0.0);
        assert!(matches!(decision, RestartDecision::Retry { after, .. } if after >= Duration::from_secs(1)));
    }
}
