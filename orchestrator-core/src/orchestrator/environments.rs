//! What can be done with environments. Building one is an operation.

use tokio::sync::watch;

use super::Orchestrator;
use crate::env::{EnvError, EnvironmentReport, EnvironmentStatus};
use crate::error::{ErrorCode, Problem};
use crate::names::EnvKey;
use crate::operation::{Operation, OperationId, OperationKind};

impl Orchestrator {
    /// Lists the environments that are installed or could be.
    pub async fn environments(&self) -> Result<Vec<EnvironmentStatus>, Problem> {
        Ok(self.inner.services.environments.list().await?)
    }

    /// Begins to build an environment. Asking for one that is being built joins that build.
    pub async fn create_environment(&self, key: &EnvKey) -> Result<Operation, Problem> {
        let known = self.environments().await?;
        if known.iter().all(|status| status.key != *key) {
            let known = known.into_iter().map(|status| status.key).collect();
            return Err(EnvError::UnknownKey { key: key.clone(), known }.into());
        }
        let (services, key) = (self.inner.services.clone(), key.clone());
        let kind = OperationKind::CreateEnvironment { key: key.clone() };
        let work = move |progress: crate::operation::registry::OperationProgress, cancel| async move {
            let environment = services.environments.create(&key, &progress, &cancel).await?;
            services.store.put_environment(environment).await?;
            Ok(())
        };
        self.inner.operations.begin(kind, work).await
    }

    /// Tests an installed environment.
    pub async fn test_environment(&self, key: &EnvKey) -> Result<EnvironmentReport, Problem> {
        Ok(self.inner.services.environments.test(key).await?)
    }

    /// Removes an environment that no running instance uses.
    pub async fn remove_environment(&self, key: &EnvKey) -> Result<(), Problem> {
        let mut users = Vec::new();
        for (name, handle) in self.inner.fleet.handles() {
            let snapshot = handle.snapshot.borrow().clone();
            let runtime = self.inner.services.runtime(snapshot.spec.runtime)?;
            if snapshot.state.server().is_some() && runtime.environment_key(&snapshot.spec).as_ref() == Some(key) {
                users.push(name.to_string());
            }
        }
        if !users.is_empty() {
            return Err(EnvError::InUse { key: key.clone(), users }.into());
        }
        self.inner.services.environments.remove(key).await?;
        Ok(self.inner.services.store.delete_environment(key).await?)
    }

    /// Lists the newest operations first.
    pub async fn operations(&self) -> Result<Vec<Operation>, Problem> {
        self.inner.operations.list().await
    }

    /// Watches an operation of this session.
    #[must_use]
    pub fn watch_operation(&self, id: OperationId) -> Option<watch::Receiver<Operation>> {
        self.inner.operations.watch(id)
    }

    /// Cancels an operation that is under way.
    pub fn cancel_operation(&self, id: OperationId) -> Result<(), Problem> {
        if self.inner.operations.cancel(id) {
            return Ok(());
        }
        Err(Problem::new(ErrorCode::RouteUnknown, format!("no operation `{id}` is under way")))
    }
}
