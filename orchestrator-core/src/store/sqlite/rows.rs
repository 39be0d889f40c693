//! The statements: how domain values become rows and rows become domain values.
//!
//! Owns every `SELECT`, `INSERT` and `DELETE`. Knows nothing of threads, transactions or files.

use rusqlite::{Connection, OptionalExtension, Params, Row, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::super::{InstanceRecord, ModelRecord, StoreError};
use crate::env::Environment;
use crate::event::{Event, EventDraft, Timestamp};
use crate::instance::InstanceSpec;
use crate::model::ModelReference;
use crate::names::{EnvKey, InstanceName};
use crate::operation::{Operation, OperationStatus};

/// How many events are kept.
pub(super) const KEPT_EVENTS: i64 = 10_000;
/// How many operations that came to an end are kept.
pub(super) const KEPT_OPERATIONS: i64 = 1_000;

/// Names what was tried, for [`StoreError::Statement`].
trait Trying<T> {
    fn trying(self, action: &'static str) -> Result<T, StoreError>;
}

impl<T> Trying<T> for rusqlite::Result<T> {
    fn trying(self, action: &'static str) -> Result<T, StoreError> {
        self.map_err(|source| StoreError::Statement { action, source })
    }
}

pub(super) fn instances(connection: &Connection) -> Result<Vec<InstanceRecord>, StoreError> {
    let sql = "SELECT name, wanted, restarts, spec, server FROM instances ORDER BY name";
    collect(connection, "read the instances", sql, [], |row| Ok(decode_instance(&InstanceRow::of(row)?)))
}

pub(super) fn put_instance(connection: &Connection, record: &InstanceRecord) -> Result<(), StoreError> {
    let server = record.server.as_ref().map(|server| encode("server", server)).transpose()?;
    let sql = "INSERT OR REPLACE INTO instances (name, wanted, restarts, spec, server) VALUES (?, ?, ?, ?, ?)";
    let spec = record.spec.as_ref().map(InstanceSpec::without_secrets);
    let values = params![record.name.as_str(), record.wanted, record.restarts, encode("configuration", &spec)?, server];
    execute(connection, "remember an instance", sql, values)
}

pub(super) fn delete_instance(connection: &Connection, name: &InstanceName) -> Result<(), StoreError> {
    execute(connection, "forget an instance", "DELETE FROM instances WHERE name = ?", [name.as_str()])
}

pub(super) fn models(connection: &Connection) -> Result<Vec<ModelRecord>, StoreError> {
    collect(connection, "read the models", "SELECT document FROM models ORDER BY reference", [], |row| {
        Ok(decode_model(&row.get::<_, String>(0)?))
    })
}

/// A first version wrote the model alone, without when it was installed.
fn decode_model(document: &str) -> Result<ModelRecord, StoreError> {
    decode("model", document).or_else(|error| {
        let model = decode("model", document).map_err(|_| error)?;
        Ok(ModelRecord { model, installed_at: Timestamp::now(), last_used_at: None })
    })
}

pub(super) fn put_model(connection: &Connection, record: &ModelRecord) -> Result<(), StoreError> {
    let sql = "INSERT OR REPLACE INTO models (reference, document) VALUES (?, ?)";
    execute(connection, "remember a model", sql, params![record.model.reference.to_string(), encode("model", record)?])
}

pub(super) fn delete_model(connection: &Connection, reference: &ModelReference) -> Result<(), StoreError> {
    execute(connection, "forget a model", "DELETE FROM models WHERE reference = ?", [reference.to_string()])
}

pub(super) fn environments(connection: &Connection) -> Result<Vec<Environment>, StoreError> {
    collect(connection, "read the environments", "SELECT document FROM envs ORDER BY key", [], |row| {
        Ok(decode("environment", &row.get::<_, String>(0)?))
    })
}

pub(super) fn put_environment(connection: &Connection, environment: &Environment) -> Result<(), StoreError> {
    let sql = "INSERT OR REPLACE INTO envs (key, document) VALUES (?, ?)";
    execute(connection, "remember an environment", sql, params![environment.key.as_str(), encode("environment", environment)?])
}

pub(super) fn delete_environment(connection: &Connection, key: &EnvKey) -> Result<(), StoreError> {
    execute(connection, "forget an environment", "DELETE FROM envs WHERE key = ?", [key.as_str()])
}

pub(super) fn operations(connection: &Connection, limit: usize) -> Result<Vec<Operation>, StoreError> {
    let sql = "SELECT document FROM operations ORDER BY created_at DESC, id DESC LIMIT ?";
    collect(connection, "read the operations", sql, [as_limit(limit)], |row| Ok(decode("operation", &row.get::<_, String>(0)?)))
}

pub(super) fn put_operation(connection: &Connection, operation: &Operation) -> Result<(), StoreError> {
    let status = match operation.status {
        OperationStatus::Running { .. } => "running",
        OperationStatus::Succeeded { .. } => "succeeded",
        OperationStatus::Failed { .. } => "failed",
        OperationStatus::Cancelled { .. } => "cancelled",
    };
    let sql = "INSERT OR REPLACE INTO operations (id, created_at, status, document) VALUES (?, ?, ?, ?)";
    let values = params![operation.id.to_string(), operation.created_at.as_millis(), status, encode("operation", operation)?];
    execute(connection, "remember an operation", sql, values)?;
    if !operation.status.is_final() {
        return Ok(());
    }
    let sql = "DELETE FROM operations WHERE status != 'running' AND id IN
               (SELECT id FROM operations WHERE status != 'running' ORDER BY created_at DESC, id DESC LIMIT -1 OFFSET ?)";
    execute(connection, "forget old operations", sql, [KEPT_OPERATIONS])
}

pub(super) fn append_events(connection: &Connection, drafts: &[EventDraft]) -> Result<Vec<Event>, StoreError> {
    const ACTION: &str = "append events";
    let sql = "INSERT INTO events (at, kind, instance, message, data) VALUES (?, ?, ?, ?, ?) RETURNING sequence";
    let mut statement = connection.prepare_cached(sql).trying(ACTION)?;
    let mut events = Vec::with_capacity(drafts.len());
    for draft in drafts {
        let data = if draft.data.is_null() { None } else { Some(encode("event", &draft.data)?) };
        let (at, kind) = (encode("event", &draft.at)?, encode("event", &draft.kind)?);
        let values = params![at, kind, draft.instance.as_ref().map(InstanceName::as_str), draft.message, data];
        let sequence = statement.query_row(values, |row| row.get::<_, i64>(0)).trying(ACTION)?;
        let EventDraft { at, kind, instance, message, data } = draft.clone();
        events.push(Event { sequence: decode_sequence(sequence)?, at, kind, instance, message, data });
    }
    let sql = "DELETE FROM events WHERE sequence <= (SELECT max(sequence) FROM events) - ?";
    execute(connection, "forget old events", sql, [KEPT_EVENTS])?;
    Ok(events)
}

const EVENT_COLUMNS: &str = "sequence, at, kind, instance, message, data";

pub(super) fn events_after(connection: &Connection, sequence: u64, limit: usize) -> Result<Vec<Event>, StoreError> {
    let sql = format!("SELECT {EVENT_COLUMNS} FROM events WHERE sequence > ? ORDER BY sequence LIMIT ?");
    let after = i64::try_from(sequence).unwrap_or(i64::MAX);
    collect(connection, "read the events", &sql, [after, as_limit(limit)], |row| Ok(decode_event(&EventRow::of(row)?)))
}

pub(super) fn last_events(connection: &Connection, instance: Option<&InstanceName>, limit: usize) -> Result<Vec<Event>, StoreError> {
    const ACTION: &str = "read the last events";
    let decode = |row: &Row<'_>| Ok(decode_event(&EventRow::of(row)?));
    let limit = as_limit(limit);
    let mut events = if let Some(name) = instance {
        let sql = format!("SELECT {EVENT_COLUMNS} FROM events WHERE instance = ? ORDER BY sequence DESC LIMIT ?");
        collect(connection, ACTION, &sql, params![name.as_str(), limit], decode)?
    } else {
        let sql = format!("SELECT {EVENT_COLUMNS} FROM events ORDER BY sequence DESC LIMIT ?");
        collect(connection, ACTION, &sql, [limit], decode)?
    };
    events.reverse();
    Ok(events)
}

pub(super) fn get(connection: &Connection, key: &str) -> Result<Option<String>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT value FROM kv WHERE key = ?").trying("read a value")?;
    statement.query_row([key], |row| row.get(0)).optional().trying("read a value")
}

pub(super) fn put(connection: &Connection, key: &str, value: &str) -> Result<(), StoreError> {
    execute(connection, "remember a value", "INSERT OR REPLACE INTO kv (key, value) VALUES (?, ?)", [key, value])
}

/// The value that counts commits.
const COMMITS: &str = "store:commits";

/// Returns how many commits the database has seen.
pub(super) fn commits(connection: &Connection) -> Result<u64, StoreError> {
    let text = get(connection, COMMITS)?;
    Ok(text.and_then(|text| text.parse().ok()).unwrap_or(0))
}

/// Counts a commit, inside of it.
pub(super) fn count_commit(connection: &Connection, number: u64) -> rusqlite::Result<()> {
    let sql = "INSERT OR REPLACE INTO kv (key, value) VALUES (?, ?)";
    connection.prepare_cached(sql)?.execute(params![COMMITS, number.to_string()])?;
    Ok(())
}

/// Runs the whole check; an empty list means that the database is sound.
pub(super) fn integrity(connection: &Connection) -> Result<Vec<String>, StoreError> {
    let lines = collect(connection, "check the database", "PRAGMA integrity_check", [], |row| Ok(Ok(row.get::<_, String>(0)?)))?;
    Ok(lines.into_iter().filter(|line| line != "ok").collect())
}

/// Reads everything once, so that a row which cannot be understood is found before anybody depends on it.
pub(super) fn read_everything(connection: &Connection) -> Result<(), StoreError> {
    instances(connection)?;
    models(connection)?;
    environments(connection)?;
    operations(connection, usize::MAX)?;
    events_after(connection, 0, usize::MAX)?;
    collect(connection, "read the values", "SELECT key, value FROM kv", [], |row| {
        Ok(Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))
    })?;
    Ok(())
}

fn execute(connection: &Connection, action: &'static str, sql: &str, values: impl Params) -> Result<(), StoreError> {
    connection.prepare_cached(sql).and_then(|mut statement| statement.execute(values)).trying(action)?;
    Ok(())
}

/// Runs a query whose rows may be unreadable for `SQLite` (the outer result) or for us (the inner one).
fn collect<T>(
    connection: &Connection,
    action: &'static str,
    sql: &str,
    values: impl Params,
    decode: impl Fn(&Row<'_>) -> rusqlite::Result<Result<T, StoreError>>,
) -> Result<Vec<T>, StoreError> {
    let mut statement = connection.prepare_cached(sql).trying(action)?;
    let rows = statement.query_map(values, |row| decode(row)).trying(action)?;
    rows.map(|row| row.trying(action)?).collect()
}

fn as_limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

struct InstanceRow {
    name: String,
    wanted: bool,
    restarts: u32,
    spec: String,
    server: Option<String>,
}

impl InstanceRow {
    fn of(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self { name: row.get(0)?, wanted: row.get(1)?, restarts: row.get(2)?, spec: row.get(3)?, server: row.get(4)? })
    }
}

fn decode_instance(row: &InstanceRow) -> Result<InstanceRecord, StoreError> {
    Ok(InstanceRecord {
        name: decode_name("instance", &row.name)?,
        wanted: row.wanted,
        // What can be configured changes between versions; the file says it anew.
        spec: decode("configuration", &row.spec).ok(),
        server: row.server.as_deref().map(|server| decode("server", server)).transpose()?,
        restarts: row.restarts,
    })
}

struct EventRow {
    sequence: i64,
    at: String,
    kind: String,
    instance: Option<String>,
    message: String,
    data: Option<String>,
}

impl EventRow {
    fn of(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            sequence: row.get(0)?,
            at: row.get(1)?,
            kind: row.get(2)?,
            instance: row.get(3)?,
            message: row.get(4)?,
            data: row.get(5)?,
        })
    }
}

fn decode_event(row: &EventRow) -> Result<Event, StoreError> {
    Ok(Event {
        sequence: decode_sequence(row.sequence)?,
        at: decode("event", &row.at)?,
        kind: decode("event", &row.kind)?,
        instance: row.instance.as_deref().map(|name| decode_name("event", name)).transpose()?,
        message: row.message.clone(),
        data: row.data.as_deref().map_or(Ok(serde_json::Value::Null), |data| decode("event", data))?,
    })
}

fn decode_sequence(sequence: i64) -> Result<u64, StoreError> {
    u64::try_from(sequence).map_err(|error| unreadable("event", &error))
}

fn decode_name(what: &'static str, text: &str) -> Result<InstanceName, StoreError> {
    InstanceName::try_new(text).map_err(|error| unreadable(what, &error))
}

fn encode(what: &'static str, value: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| unreadable(what, &error))
}

fn decode<T: DeserializeOwned>(what: &'static str, text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|error| unreadable(what, &error))
}

fn unreadable(what: &'static str, error: &dyn std::error::Error) -> StoreError {
    StoreError::Corrupt { what, reason: error.to_string() }
}
