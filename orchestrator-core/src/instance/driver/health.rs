//! What a server's answers tell: that it is ready, that it is not well.

use std::time::Instant;

use super::Driver;
use super::phase::{Phase, Serving, Trouble};
use crate::instance::probe::ProbeOutcome;
use crate::scheduler::need;

impl Driver {
    pub(super) async fn handle_probe(&mut self, outcome: ProbeOutcome) {
        self.keep_logs_small();
        match &mut self.phase {
            Phase::Loading(loading) => {
                if outcome == ProbeOutcome::Healthy {
                    self.handle_ready().await;
                    return;
                }
                if loading.deadline <= Instant::now() {
                    self.begin_stop(Trouble::NeverReady).await;
                    return;
                }
                let detail = match outcome {
                    ProbeOutcome::Loading { detail } => detail,
                    ProbeOutcome::Bad { reason } => reason,
                    ProbeOutcome::Healthy | ProbeOutcome::Refused => String::new(),
                };
                loading.is_doubted = false;
                loading.probe_again();
                if loading.detail != detail {
                    loading.detail = detail;
                    self.publish();
                }
            }
            Phase::Serving(serving) => {
                let was_unhealthy = serving.unhealthy.is_some();
                serving.note(outcome, self.spec.healthcheck.retries.get());
                serving.probe_again(self.spec.healthcheck.interval.get());
                let is_hopeless = serving.bad_answers >= self.spec.healthcheck.retries.get().saturating_mul(2);
                let reason = serving.unhealthy.as_ref().map(|unhealthy| unhealthy.reason.clone());
                if is_hopeless {
                    self.begin_stop(Trouble::Unresponsive).await;
                } else if was_unhealthy != reason.is_some() {
                    let why = reason.unwrap_or_else(|| "it answers again".to_owned());
                    self.announce(if was_unhealthy { "unhealthy" } else { "ready" }, &why);
                }
            }
            Phase::Stopped { .. } | Phase::Starting { .. } | Phase::Stopping { .. } | Phase::Backoff { .. } | Phase::Failed { .. } => {}
        }
    }

    /// The loading server answered 200. It is believed only if the listener is its own.
    async fn handle_ready(&mut self) {
        let Phase::Loading(loading) = &mut self.phase else { return };
        if loading.workload.owns_listener(loading.server.address).await == Some(false) {
            if std::mem::replace(&mut loading.is_doubted, true) {
                self.begin_stop(Trouble::PortTaken).await;
            } else {
                // One that ends just after its answer does not listen any more either; its end is known in a moment.
                loading.probe_again();
            }
            return;
        }
        self.services.tasks.spawn(need::measure(self.services.clone(), self.spec.clone(), loading.workload.clone()));
        let serving = Serving::begin(loading, self.spec.healthcheck.interval.get());
        let took = loading.server.started_at.elapsed_millis();
        self.enter(Phase::Serving(serving), &format!("it answers after {took} ms")).await;
    }
}
