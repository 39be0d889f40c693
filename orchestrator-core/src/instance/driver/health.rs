//! What a server's answers tell: that it is ready, that it is not well.

use std::time::Instant;

use super::Driver;
use super::phase::{Origin, Phase, Serving, Trouble};
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
                let detail = match outcome {
                    ProbeOutcome::Healthy => String::new(),
                    ProbeOutcome::Loading { detail } => detail,
                    ProbeOutcome::Bad { reason } => reason,
                    ProbeOutcome::Refused => "it does not listen on its port yet".to_owned(),
                };
                if loading.deadline <= Instant::now() {
                    self.begin_stop(Trouble::NeverReady { reason: detail }).await;
                    return;
                }
                loading.is_doubted = false;
                loading.probe_again();
                if loading.detail != detail {
                    loading.detail = detail;
                    self.publish();
                }
            }
            Phase::Serving(serving) => {
                let before = serving.unhealthy.clone();
                let retries = self.spec.healthcheck.retries.get();
                serving.note(outcome, retries);
                serving.probe_again(self.spec.healthcheck.interval.get());
                let (is_hopeless, now) = (serving.is_hopeless(retries), serving.unhealthy.clone());
                if is_hopeless {
                    self.begin_stop(Trouble::Unresponsive).await;
                } else if before.is_some() != now.is_some() {
                    let why = now.map_or_else(|| "it answers again".to_owned(), |unhealthy| unhealthy.reason);
                    self.announce(if before.is_some() { "unhealthy" } else { "ready" }, &why);
                } else if before != now {
                    self.publish();
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
        self.services.note_use(&self.spec.model.reference);
        self.services.tasks.spawn(need::measure(self.services.clone(), self.spec.clone(), loading.workload.clone()));
        let serving = Serving::begin(loading, self.spec.healthcheck.interval.get());
        let why = match loading.origin {
            Origin::Started => format!("it answers after {} ms", loading.begun.elapsed().as_millis()),
            Origin::TakenOver => "it was taken over, and answers".to_owned(),
        };
        self.enter(Phase::Serving(serving), &why).await;
    }
}
