//! [`SqliteStore`]: the state store on one `SQLite` file.
//!
//! Owns the connections and the promise that an answered change survives a kill and a power cut: WAL with
//! `synchronous = FULL`, and the answer comes after the commit. One thread writes, one reads; see `worker`. How
//! a database is opened, judged and put aside stands in `open`, the statements in `rows`, the versions in the
//! sibling module `migrations`.

mod mark;
mod open;
mod rows;
mod wal;
mod worker;

use std::path::{Path, PathBuf};

use async_trait::async_trait;

use super::{InstanceRecord, ModelRecord, StateStore, StoreError};
use crate::env::Environment;
use crate::event::{Event, EventDraft};
use crate::model::ModelReference;
use crate::names::{EnvKey, InstanceName};
use crate::operation::Operation;
use worker::Worker;

/// The state store on one `SQLite` file. Dropping it waits until everything queued is on disk.
pub struct SqliteStore {
    // Dropped first: the writer's connection is then the last one, and leaves no WAL behind.
    reader: Worker,
    writer: Worker,
}

/// What was found where the database should be.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpenOutcome {
    /// A sound database.
    Opened,
    /// A sound database that lacks the newest changes: its write-ahead log was cut, or is gone.
    Behind {
        /// How many commits it lacks.
        missing: u64,
    },
    /// Nothing; an empty database was made.
    Created,
    /// A damaged database; it was put aside and an empty one was made.
    Rebuilt {
        /// Where the damaged one lies now.
        quarantined: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

impl SqliteStore {
    /// Opens the database at `path`, and makes it and its folder where they are missing; both are private to
    /// their owner. Blocks on the disk.
    ///
    /// A damaged database is put aside beside the new one as `NAME.corrupt-TIME`, never deleted. The caller must
    /// be the only one who does this: it holds the lock of the home.
    ///
    /// # Errors
    /// Fails when a newer version wrote the database (which stays untouched), or when the folder or the file
    /// cannot be read and written.
    pub fn open(path: &Path) -> Result<(Self, OpenOutcome), StoreError> {
        let (connection, outcome, mark) = open::open_or_rebuild(path)?;
        let reader = open::open_for_reading(path)?;
        let spawn = |source| StoreError::Io { action: "start a thread for", path: path.to_path_buf(), source };
        let writer = Worker::writing(connection, mark).map_err(spawn)?;
        let reader = Worker::reading(reader).map_err(spawn)?;
        Ok((Self { reader, writer }, outcome))
    }
}

#[async_trait]
impl StateStore for SqliteStore {
    async fn instances(&self) -> Result<Vec<InstanceRecord>, StoreError> {
        self.reader.run(rows::instances).await
    }

    async fn put_instance(&self, record: InstanceRecord) -> Result<(), StoreError> {
        self.writer.run(move |connection| rows::put_instance(connection, &record)).await
    }

    async fn delete_instance(&self, name: &InstanceName) -> Result<(), StoreError> {
        let name = name.clone();
        self.writer.run(move |connection| rows::delete_instance(connection, &name)).await
    }

    async fn models(&self) -> Result<Vec<ModelRecord>, StoreError> {
        self.reader.run(rows::models).await
    }

    async fn put_model(&self, record: ModelRecord) -> Result<(), StoreError> {
        self.writer.run(move |connection| rows::put_model(connection, &record)).await
    }

    async fn delete_model(&self, reference: &ModelReference) -> Result<(), StoreError> {
        let reference = reference.clone();
        self.writer.run(move |connection| rows::delete_model(connection, &reference)).await
    }

    async fn environments(&self) -> Result<Vec<Environment>, StoreError> {
        self.reader.run(rows::environments).await
    }

    async fn put_environment(&self, environment: Environment) -> Result<(), StoreError> {
        self.writer.run(move |connection| rows::put_environment(connection, &environment)).await
    }

    async fn delete_environment(&self, key: &EnvKey) -> Result<(), StoreError> {
        let key = key.clone();
        self.writer.run(move |connection| rows::delete_environment(connection, &key)).await
    }

    async fn operations(&self, limit: usize) -> Result<Vec<Operation>, StoreError> {
        self.reader.run(move |connection| rows::operations(connection, limit)).await
    }

    async fn put_operation(&self, operation: Operation) -> Result<(), StoreError> {
        self.writer.run(move |connection| rows::put_operation(connection, &operation)).await
    }

    async fn append_events(&self, drafts: Vec<EventDraft>) -> Result<Vec<Event>, StoreError> {
        self.writer.run(move |connection| rows::append_events(connection, &drafts)).await
    }

    async fn events_after(&self, sequence: u64, limit: usize) -> Result<Vec<Event>, StoreError> {
        self.reader.run(move |connection| rows::events_after(connection, sequence, limit)).await
    }

    async fn last_events(&self, instance: Option<&InstanceName>, limit: usize) -> Result<Vec<Event>, StoreError> {
        let instance = instance.cloned();
        self.reader.run(move |connection| rows::last_events(connection, instance.as_ref(), limit)).await
    }

    async fn get(&self, key: &str) -> Result<Option<String>, StoreError> {
        let key = key.to_owned();
        self.reader.run(move |connection| rows::get(connection, &key)).await
    }

    async fn put(&self, key: &str, value: String) -> Result<(), StoreError> {
        let key = key.to_owned();
        self.writer.run(move |connection| rows::put(connection, &key, &value)).await
    }

    async fn check(&self) -> Result<Vec<String>, StoreError> {
        self.reader.run(rows::integrity).await
    }

    async fn close(&self) {
        // The writer's connection is the last one, and leaves no WAL behind.
        self.reader.close().await;
        self.writer.close().await;
    }
}

#[cfg(test)]
mod tests;
