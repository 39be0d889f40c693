//! What is remembered of an instance, and that it is: a record that cannot be stored is tried again until it can.

use std::time::Duration;

use tokio::time::Instant;
use tracing::{info, warn};

use super::Driver;
use crate::error::{Coded, Problem};
use crate::store::{InstanceRecord, StoreError};

/// How long to wait before a record that could not be stored is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Why the store does not hold what is so, and when that is tried again.
pub(super) struct Unrecorded {
    error: StoreError,
    retry_at: Instant,
}

/// Waits until what could not be stored is to be tried again; for ever when there is nothing. Cancel-safe.
pub(super) fn due(unrecorded: Option<&Unrecorded>) -> impl Future<Output = ()> + use<> {
    let retry_at = unrecorded.map(|unrecorded| unrecorded.retry_at);
    async move {
        match retry_at {
            Some(at) => tokio::time::sleep_until(at).await,
            None => std::future::pending().await,
        }
    }
}

impl Driver {
    /// Stores what is so now, unless that is stored already; what cannot be stored is tried again.
    pub(super) async fn persist(&mut self) {
        let server = self.phase.state().server().cloned();
        let record = InstanceRecord {
            name: self.name.clone(),
            wanted: self.wanted,
            spec: Some((*self.spec).clone()),
            server,
            restarts: self.restarts,
        };
        if self.unrecorded.is_none() && self.stored.as_ref() == Some(&record) {
            return;
        }
        match self.services.store.put_instance(record.clone()).await {
            Ok(()) => {
                self.stored = Some(record);
                if self.unrecorded.take().is_some() {
                    info!("the state of the instance is stored again");
                }
            }
            Err(error) => {
                self.stored = None;
                if self.unrecorded.is_none() {
                    let error = &error as &dyn std::error::Error;
                    warn!(error, "the state of the instance could not be stored; it is tried again until it can");
                }
                self.unrecorded = Some(Unrecorded { error, retry_at: Instant::now() + RETRY_AFTER });
            }
        }
    }

    /// Says whether the store holds what this instance was told; tries once more where it did not.
    pub(super) async fn recorded(&mut self) -> Result<(), Problem> {
        if self.unrecorded.is_some() {
            self.persist().await;
        }
        let Some(Unrecorded { error, .. }) = &self.unrecorded else { return Ok(()) };
        let told = format!("`{}` does as it was told, but that could not be written down", self.name);
        let mut problem = Problem::new(error.code(), told).with_cause(error.to_string());
        problem.causes.extend(error.causes());
        let way_out = error.hint().unwrap_or_else(|| "see `logs/daemon.log`".to_owned());
        Err(problem.with_hint(format!("{way_out}; it is written down as soon as that works, and is lost if the daemon ends before")))
    }
}
