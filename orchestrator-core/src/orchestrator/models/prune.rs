//! Clearing away models that no instance uses, those first that were not used for longest. The choice is pure.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::Orchestrator;
use crate::error::Problem;
use crate::event::Timestamp;
use crate::model::ModelReference;
use crate::provider::ProviderKind;
use crate::store::ModelRecord;

/// What is to be cleared away.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct PruneRequest {
    /// Whether is only said what would go.
    pub dry_run: bool,
    /// Stop when the models that we fetched take no more than this, in bytes. Everything unused goes, when it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until_bytes: Option<u64>,
    /// Models that stay, used or not.
    pub keep: Vec<ModelReference>,
}

/// What was cleared away.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct PruneReport {
    /// The models that went, or would go, in that order.
    pub removed: Vec<PrunedModel>,
    /// The bytes that became free, or would.
    pub freed_bytes: u64,
    /// What the models that stay take, in bytes.
    pub kept_bytes: u64,
}

/// A model that was cleared away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PrunedModel {
    /// The model.
    pub reference: ModelReference,
    /// The bytes of its files.
    pub size_bytes: u64,
    /// When it was last used, or installed if it never was.
    pub unused_since: Timestamp,
}

impl Orchestrator {
    /// Clears away models that we fetched and no instance uses.
    ///
    /// # Errors
    /// Fails where a model cannot be removed; those before it are gone then.
    pub async fn prune_models(&self, request: &PruneRequest) -> Result<PruneReport, Problem> {
        self.inner.fleet.reload(&self.inner.services);
        let records = self.inner.services.store.models().await?;
        let is_used = |record: &ModelRecord| !self.model_users(&record.model).is_empty();
        let chosen = choose(&records, is_used, request);
        let taken = super::usage::fetched_bytes(&records);
        let mut report = PruneReport::default();
        for record in chosen {
            let size_bytes = record.model.size_bytes;
            report.freed_bytes += if request.dry_run { size_bytes } else { self.discard(&record.model).await? };
            report.removed.push(PrunedModel { reference: record.model.reference.clone(), size_bytes, unused_since: unused_since(record) });
        }
        report.kept_bytes = taken.saturating_sub(report.freed_bytes);
        Ok(report)
    }
}

/// Chooses what goes, in its order.
fn choose<'a>(records: &'a [ModelRecord], is_used: impl Fn(&ModelRecord) -> bool, request: &PruneRequest) -> Vec<&'a ModelRecord> {
    let may_go = |record: &&ModelRecord| {
        record.model.provider() != ProviderKind::Local && !request.keep.contains(&record.model.reference) && !is_used(record)
    };
    let mut unused: Vec<_> = records.iter().filter(may_go).collect();
    unused.sort_by_key(|record| (unused_since(record), record.model.reference.to_string()));
    let Some(until) = request.until_bytes else { return unused };
    let mut left = super::usage::fetched_bytes(records);
    unused
        .into_iter()
        .take_while(|record| {
            let goes = left > until;
            left = left.saturating_sub(record.model.size_bytes);
            goes
        })
        .collect()
}

fn unused_since(record: &ModelRecord) -> Timestamp {
    record.last_used_at.unwrap_or(record.installed_at)
}
