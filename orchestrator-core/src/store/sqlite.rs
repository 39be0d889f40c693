//! stub
use super::*;
use crate::env::Environment;
/// x
pub struct SqliteStore;
/// x
pub enum OpenOutcome {
    /// x
    Opened,
    /// x
    Created,
    /// x
    Rebuilt {
        /// x
        quarantined: PathBuf,
        /// x
        reason: String,
    },
}
impl SqliteStore {
    /// x
    pub fn open(_p: &std::path::Path) -> Result<(SqliteStore, OpenOutcome), StoreError> {
        loop {}
    }
}
#[async_trait]
impl StateStore for SqliteStore {
    async fn instances(&self) -> Result<Vec<InstanceRecord>, StoreError> {
        loop {}
    }
    async fn put_instance(&self, _record: InstanceRecord) -> Result<(), StoreError> {
        loop {}
    }
    async fn delete_instance(&self, _name: &InstanceName) -> Result<(), StoreError> {
        loop {}
    }
    async fn models(&self) -> Result<Vec<InstalledModel>, StoreError> {
        loop {}
    }
    async fn put_model(&self, _model: InstalledModel) -> Result<(), StoreError> {
        loop {}
    }
    async fn environments(&self) -> Result<Vec<Environment>, StoreError> {
        loop {}
    }
    async fn put_environment(&self, _environment: Environment) -> Result<(), StoreError> {
        loop {}
    }
    async fn delete_environment(&self, _k: &EnvKey) -> Result<(), StoreError> {
        loop {}
    }
    async fn operations(&self, _limit: usize) -> Result<Vec<Operation>, StoreError> {
        loop {}
    }
    async fn put_operation(&self, _operation: Operation) -> Result<(), StoreError> {
        loop {}
    }
    async fn append_events(&self, _drafts: Vec<EventDraft>) -> Result<Vec<Event>, StoreError> {
        loop {}
    }
    async fn events_after(&self, _sequence: u64, _limit: usize) -> Result<Vec<Event>, StoreError> {
        loop {}
    }
    async fn last_events(&self, _instance: Option<&InstanceName>, _limit: usize) -> Result<Vec<Event>, StoreError> {
        loop {}
    }
    async fn get(&self, _key: &str) -> Result<Option<String>, StoreError> {
        loop {}
    }
    async fn put(&self, _key: &str, _value: String) -> Result<(), StoreError> {
        loop {}
    }
    async fn check(&self) -> Result<Vec<String>, StoreError> {
        loop {}
    }
}
