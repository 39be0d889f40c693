//! What people and requests ask of an instance: up, down, restart. In every phase each of them has one answer.

use super::phase::{Phase, Trouble};
use super::{Command, Driver};
use crate::error::{ErrorCode, Problem};

impl Driver {
    pub(super) async fn handle_command(&mut self, command: Command) {
        match command {
            Command::Up { spec, accepted } => {
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
                        self.start_afresh().await;
                    }
                }
                // The asker may be gone; the instance comes up all the same.
                let _ = accepted.send(self.recorded().await);
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
                    Phase::Stopped { .. } | Phase::Backoff { .. } | Phase::Failed { .. } => self.start_afresh().await,
                }
                let _ = accepted.send(self.recorded().await);
            }
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

    /// Starts on a person's word: earlier failures do not count.
    async fn start_afresh(&mut self) {
        self.failures = 0;
        self.restarts = 0;
        self.begin_start("it was told to start").await;
    }
}
