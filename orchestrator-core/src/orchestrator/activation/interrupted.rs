//! Switches that the end of their daemon cut short. Each switch is written down before it begins and forgotten when it is
//! over; the next owner of the home undoes what it finds: the new one goes, the old one comes back.

use serde::{Deserialize, Serialize};

use super::{Orchestrator, key};
use crate::error::{ErrorCode, Problem};
use crate::event::{EventDraft, EventKind};
use crate::names::InstanceName;
use crate::runtime::RuntimeKind;

/// A switch that is under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Switch {
    /// Absent when none ran.
    old: Option<InstanceName>,
    new: InstanceName,
}

impl Orchestrator {
    /// Writes down that a switch begins.
    pub(super) async fn note_switch(&self, runtime: RuntimeKind, old: Option<&InstanceName>, new: &InstanceName) -> Result<(), Problem> {
        let switch = Switch { old: old.cloned(), new: new.clone() };
        let text = serde_json::to_string(&switch)
            .map_err(|error| Problem::new(ErrorCode::Internal, "a switch cannot be written down").with_cause(error.to_string()))?;
        Ok(self.inner.services.store.put(&note(runtime), text).await?)
    }

    /// Forgets a switch that is over. One that fails because the daemon goes is not over.
    pub(super) async fn forget_switch(&self, runtime: RuntimeKind) {
        let services = &self.inner.services;
        if services.shutdown.is_cancelled() {
            return;
        }
        if let Err(error) = services.store.put(&note(runtime), String::new()).await {
            tracing::warn!(%error, "the end of a switch of `{}` could not be written down", runtime.as_str());
        }
    }

    /// Forgets every switch: all servers are ended, and none is to come back by itself.
    pub(in crate::orchestrator) async fn forget_switches(&self) {
        for runtime in self.inner.services.runtimes.keys() {
            if self.interrupted(*runtime).await.is_some() {
                self.forget_switch(*runtime).await;
            }
        }
    }

    /// Begins to undo the switches that an earlier owner of this home left half done.
    pub(in crate::orchestrator) async fn undo_interrupted_switches(&self) {
        let services = &self.inner.services;
        for runtime in services.runtimes.keys().copied() {
            let Some(switch) = self.interrupted(runtime).await else { continue };
            let (orchestrator, shutdown) = (self.clone(), services.shutdown.clone());
            services.tasks.spawn(async move { shutdown.run_until_cancelled(orchestrator.undo(runtime, switch)).await });
        }
    }

    async fn interrupted(&self, runtime: RuntimeKind) -> Option<Switch> {
        let stored = self.inner.services.store.get(&note(runtime)).await.ok()??;
        serde_json::from_str(&stored).ok()
    }

    async fn undo(&self, runtime: RuntimeKind, switch: Switch) {
        let Switch { old, new } = switch;
        let active = self.inner.services.store.get(&key(runtime)).await.ok().flatten();
        if active.as_deref() == Some(new.as_str()) {
            // All of it was done but to forget it.
            return self.forget_switch(runtime).await;
        }
        // Nobody else holds a runtime while an owner begins.
        let _claim = self.claim(runtime, &format!("undoing an interrupted switch to `{new}`")).ok();
        let say = |about: &InstanceName, message: String| {
            let data = serde_json::json!({ "interrupted_switch": { "old": old, "new": new } });
            let draft = EventDraft::new(EventKind::InstanceState, message).about(about).with_data(data);
            self.inner.services.events.record(draft);
        };
        let cut = format!("the switch to `{new}` was cut short by the end of its daemon");
        // What is not there or does not run is as it should be.
        let _ = self.down(&new).await;
        match &old {
            None => say(&new, format!("{cut}; nothing ran before it, so nothing runs now")),
            Some(old) => match self.bring_up(old).await {
                Ok(()) => say(old, format!("{cut}; `{old}` runs again")),
                Err(problem) => self.warn(Some(old), format!("{cut}, and `{old}` did not come up again: {problem}")),
            },
        }
        self.forget_switch(runtime).await;
    }
}

fn note(runtime: RuntimeKind) -> String {
    format!("switching:{}", runtime.as_str())
}
