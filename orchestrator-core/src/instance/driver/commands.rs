//! What people, requests and the scheduler ask of an instance: up, down, restart, unload, other settings. In every phase
//! each of them has one answer.

use super::phase::{Phase, Trouble};
use super::{Caller, Command, Driver};
use crate::error::{ErrorCode, Problem};
use crate::scheduler::policy::Eviction;

const TOLD_TO_START: &str = "it was told to start";

impl Driver {
    pub(super) async fn handle_command(&mut self, command: Command) {
        match command {
            Command::Up { spec, caller, accepted } => {
                let was_wanted = std::mem::replace(&mut self.wanted, true);
                match self.phase {
                    Phase::Starting { .. } | Phase::Loading(_) | Phase::Serving(_) => {
                        if !was_wanted {
                            self.persist().await;
                        }
                    }
                    Phase::Stopping { .. } => {
                        self.spec = spec;
                        self.then_start = true;
                        self.persist().await;
                    }
                    Phase::Stopped { .. } | Phase::Backoff { .. } | Phase::Failed { .. } => {
                        self.spec = spec;
                        let why = match caller {
                            Caller::Person => TOLD_TO_START,
                            Caller::Requests => "a request waits for it",
                        };
                        self.start_afresh(why).await;
                    }
                }
                let answer = match caller {
                    Caller::Person => {
                        self.services.scheduler.wish(self.member);
                        self.recorded().await
                    }
                    // They are to be served; nobody counts on it that it is remembered.
                    Caller::Requests => Ok(()),
                };
                // The asker may be gone; the instance comes up all the same.
                let _ = accepted.send(answer);
            }
            Command::Unload(why) => self.handle_unload(why).await,
            Command::Configure { spec } => {
                self.spec = spec;
                self.services.scheduler.configure_member(self.member, &self.spec);
                self.persist().await;
                self.publish();
            }
            Command::Down { accepted } => {
                let answer = self.handle_down().await;
                let _ = accepted.send(answer);
            }
            Command::Restart { spec, accepted } => {
                self.wanted = true;
                self.spec = spec;
                match self.phase {
                    Phase::Starting { .. } | Phase::Loading(_) | Phase::Serving(_) => {
                        self.then_start = true;
                        self.begin_stop(Trouble::Requested).await;
                    }
                    Phase::Stopping { .. } => {
                        self.then_start = true;
                        self.persist().await;
                    }
                    Phase::Stopped { .. } | Phase::Backoff { .. } | Phase::Failed { .. } => self.start_afresh(TOLD_TO_START).await,
                }
                self.services.scheduler.wish(self.member);
                let _ = accepted.send(self.recorded().await);
            }
        }
    }

    /// The scheduler has decided; whatever became of the server meanwhile, it goes.
    async fn handle_unload(&mut self, why: Eviction) {
        self.wanted = false;
        match self.phase {
            Phase::Loading(_) | Phase::Serving(_) | Phase::Starting { .. } => self.begin_stop(Trouble::Unloaded(why)).await,
            Phase::Backoff { .. } => {
                let why = self.why(&Trouble::Unloaded(why));
                self.enter(Phase::Stopped { last_exit: None }, &why).await;
            }
            // It goes already, or is gone: the scheduler should know.
            Phase::Stopping { .. } | Phase::Stopped { .. } | Phase::Failed { .. } => self.publish(),
        }
    }

    async fn handle_down(&mut self) -> Result<(), Problem> {
        self.then_start = false;
        self.wanted = false;
        match &self.phase {
            Phase::Stopped { .. } => {
                self.recorded().await?;
                let problem = Problem::new(ErrorCode::InstanceNotRunning, format!("`{}` is not running", self.name));
                return Err(problem.with_hint("run `orch ps` for what is running"));
            }
            Phase::Backoff { .. } | Phase::Failed { .. } => {
                self.enter(Phase::Stopped { last_exit: None }, "it was told to stop").await;
            }
            Phase::Starting { .. } | Phase::Loading(_) | Phase::Serving(_) => self.begin_stop(Trouble::Requested).await,
            Phase::Stopping { .. } => self.persist().await,
        }
        self.recorded().await
    }

    /// Starts because somebody wants it: earlier failures do not count.
    async fn start_afresh(&mut self, why: &str) {
        self.failures = 0;
        self.restarts = 0;
        self.begin_start(why).await;
    }
}
