//! The versions of the state database, and the steps from each to the next.
//!
//! Owns the schema. A step, once released, never changes: a new version appends a step. Each runs in one
//! transaction together with the new `user_version`, so that a database is always at exactly one version.

use rusqlite::Connection;

/// The steps; the first leads from an empty database to version 1.
const STEPS: &[&str] = &[include_str!("migrations/v1.sql")];

/// The version that the last step leads to.
#[expect(clippy::cast_possible_wrap, reason = "there are a handful of steps")]
pub(super) const NEWEST: i64 = STEPS.len() as i64;

/// Brings a database of version `from` to [`NEWEST`].
pub(super) fn migrate(connection: &Connection, from: i64) -> rusqlite::Result<()> {
    for (step, version) in STEPS.iter().zip(1i64..).filter(|(_, version)| *version > from) {
        let transaction = connection.unchecked_transaction()?;
        transaction.execute_batch(step)?;
        transaction.pragma_update(None, "user_version", version)?;
        transaction.commit()?;
    }
    Ok(())
}

/// Returns how the schema of `connection` differs from what the steps make; `None` when it has all it should.
///
/// A damaged page can spoil the text of the schema in ways that leave it readable.
pub(super) fn schema_difference(connection: &Connection) -> rusqlite::Result<Option<String>> {
    let model = Connection::open_in_memory()?;
    migrate(&model, 0)?;
    let found = schema_of(connection)?;
    Ok(schema_of(&model)?
        .into_iter()
        .find(|object| !found.contains(object))
        .map(|(kind, name, _)| format!("the {kind} `{name}` is not as it should be")))
}

fn schema_of(connection: &Connection) -> rusqlite::Result<Vec<(String, String, Option<String>)>> {
    let mut statement = connection.prepare("SELECT type, name, sql FROM sqlite_schema ORDER BY name")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    rows.collect()
}
