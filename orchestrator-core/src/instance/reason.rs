//! Why an instance is in its state, and since when: one sentence for people. Pure.

use std::time::Duration;

use super::spec::RestartPolicySpec;
use super::state::{Failure, InstanceSnapshot, InstanceState, StartStep};
use crate::event::Timestamp;

/// Says why an instance that has no task yet is as it is.
pub(crate) fn of_the_unstarted() -> String {
    "stopped: it has not been started yet".to_owned()
}

/// Says why an instance is as it is.
pub(crate) fn of(snapshot: &InstanceSnapshot, now: Timestamp) -> String {
    let InstanceSnapshot { spec, state, since, cause, .. } = snapshot;
    let since = moment(*since, now);
    match state {
        InstanceState::Stopped { .. } => format!("stopped since {since}: {cause}"),
        InstanceState::Starting { step, .. } => format!("starting since {since}: {cause}; {}", step_words(*step)),
        InstanceState::Loading { detail, .. } => {
            let limit = spec.healthcheck.start_period;
            let detail = if detail.is_empty() { "it has not answered yet" } else { detail };
            format!("loading since {since}: {detail} (it has {limit} to become ready)")
        }
        InstanceState::Ready { .. } => format!("ready since {since}: {cause}"),
        InstanceState::Unhealthy { reason, bad_answers, replaced_after, since: unhealthy_since, .. } => {
            let since = moment(*unhealthy_since, now);
            format!("unhealthy since {since}: {reason} ({bad_answers} of {replaced_after} before it is replaced)")
        }
        InstanceState::Stopping { .. } => format!("being stopped since {since}: {cause}"),
        InstanceState::Backoff { until, attempt, failure } => {
            let seconds = snapshot.next_start_in().map_or_else(|| seconds_until(*until, now), whole_seconds);
            let RestartPolicySpec { max_retries, .. } = spec.restart_policy;
            format!("waits for its next start in {seconds} s: attempt {attempt} of {max_retries} after {}", failure_words(failure))
        }
        // The cause tells the failure, and why there is no other start.
        InstanceState::Failed { .. } => format!("failed since {since}: {cause}"),
    }
}

/// Writes a moment as people read it: the time of today, else the day too.
fn moment(moment: Timestamp, now: Timestamp) -> String {
    let (text, today) = (moment.to_string(), now.to_string());
    match (text.split_once('T'), today.split_once('T')) {
        (Some((day, time)), Some((today, _))) => {
            let time = time.split('.').next().unwrap_or(time);
            if day == today { format!("{time} UTC") } else { format!("{day} {time} UTC") }
        }
        _ => text,
    }
}

fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

fn seconds_until(moment: Timestamp, now: Timestamp) -> u64 {
    u64::try_from(moment.as_millis() - now.as_millis()).unwrap_or(0).div_ceil(1_000)
}

const fn step_words(step: StartStep) -> &'static str {
    match step {
        StartStep::ResolvingModel => "it looks at the model",
        StartStep::WaitingForRoom => "it waits for room in memory",
        StartStep::FindingEngine => "it looks for the engine",
        StartStep::Launching => "it starts the program",
    }
}

fn failure_words(failure: &Failure) -> String {
    match failure {
        Failure::NotStarted(problem) => problem.to_string(),
        Failure::Exited(report) => report.cause.to_string(),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use std::sync::Arc;

    use super::*;
    use crate::error::{ErrorCode, Problem};
    use crate::instance::{ExitCause, ExitReport, InstanceSpec, RunningServer};
    use crate::launcher::{ProcessIdentity, WorkloadIdentity};

    /// 2026-11-28T12:03:11.250Z.
    const SINCE: i64 = 1_795_867_391_250;

    fn at(milliseconds: i64) -> Timestamp {
        Timestamp::from_millis(milliseconds).unwrap()
    }

    fn spec() -> Arc<InstanceSpec> {
        let text = serde_json::json!({ "name": "demo", "model": { "ref": "file:/m.gguf" } });
        Arc::new(serde_json::from_value(text).unwrap())
    }

    fn server() -> RunningServer {
        let identity = WorkloadIdentity::Process(ProcessIdentity { pid: 7, start_ticks: 1, boot_id: "b".to_owned() });
        let address = "127.0.0.1:8601".parse().unwrap();
        RunningServer { identity, address, started_at: at(SINCE), health_path: "/health".to_owned() }
    }

    fn check(state: InstanceState, cause: &str, expected: &str) {
        let snapshot = InstanceSnapshot {
            spec: spec(),
            state,
            since: at(SINCE),
            cause: cause.to_owned(),
            restarts: 0,
            next_start: None,
            generation: 1,
        };
        assert_eq!(of(&snapshot, at(SINCE + 5_000)), expected);
    }

    fn killed() -> Failure {
        let cause = ExitCause::Signal { signal: 11, name: "SIGSEGV".to_owned() };
        Failure::Exited(ExitReport { cause, stderr_tail: Vec::new(), at: at(SINCE) })
    }

    #[test]
    fn every_state_has_its_sentence() {
        let idle = "nobody asked for it for longer than its `ttl`, and nothing of it is left";
        check(InstanceState::Stopped { last_exit: None }, idle, &format!("stopped since 12:03:11 UTC: {idle}"));
        check(
            InstanceState::Starting { since: at(SINCE), step: StartStep::FindingEngine },
            "it was told to start",
            "starting since 12:03:11 UTC: it was told to start; it looks for the engine",
        );
        check(
            InstanceState::Loading { server: server(), detail: String::new() },
            "",
            "loading since 12:03:11 UTC: it has not answered yet (it has 10m to become ready)",
        );
        check(
            InstanceState::Loading { server: server(), detail: "Loading model".to_owned() },
            "",
            "loading since 12:03:11 UTC: Loading model (it has 10m to become ready)",
        );
        let ready = InstanceState::Ready { server: server(), since: at(SINCE) };
        check(ready, "it answers after 320 ms", "ready since 12:03:11 UTC: it answers after 320 ms");
        check(
            InstanceState::Unhealthy {
                server: server(),
                since: at(SINCE + 1_000),
                reason: "`GET /health` was not answered within 5 s".to_owned(),
                bad_answers: 3,
                replaced_after: 6,
            },
            "",
            "unhealthy since 12:03:12 UTC: `GET /health` was not answered within 5 s (3 of 6 before it is replaced)",
        );
        let stopping = InstanceState::Stopping { server: server(), since: at(SINCE) };
        check(stopping, "it stopped answering", "being stopped since 12:03:11 UTC: it stopped answering");
        check(
            InstanceState::Backoff { until: at(SINCE + 13_000), attempt: 3, failure: killed() },
            "",
            "waits for its next start in 8 s: attempt 3 of 10 after it was ended by SIGSEGV",
        );
        let failure = Failure::NotStarted(Problem::new(ErrorCode::ModelInvalid, "no model"));
        check(InstanceState::Failed { since: at(SINCE), failure }, "no model; why", "failed since 12:03:11 UTC: no model; why");
    }

    #[test]
    fn another_day_is_named() {
        assert_eq!(moment(at(SINCE), at(SINCE + 86_400_000)), "2026-11-28 12:03:11 UTC");
        assert_eq!(seconds_until(at(SINCE), at(SINCE).after(Duration::from_secs(3))), 0, "it is due");
    }
}
