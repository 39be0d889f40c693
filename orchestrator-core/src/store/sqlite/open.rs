//! Opens a database, judges it, and puts a damaged one aside.
//!
//! Owns the files: their places, their modes, and what a sound database is. Nothing is changed in a database
//! before it was found sound and of a version we know.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, ffi};

use super::super::{StoreError, migrations};
use super::mark::{self, Mark};
use super::{OpenOutcome, rows, wal};

/// How long a statement waits for another program that holds the database, such as a backup.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Marks a database as ours: `ORCH`.
const APPLICATION_ID: i32 = 0x4f52_4348;
/// What the write-ahead log shrinks to after it was written back.
const LARGEST_IDLE_LOG: i64 = 4 << 20;
/// The first bytes of every database of `SQLite`.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// Why a database was not opened.
enum Refusal {
    /// It is damaged; an empty one can take its place.
    Damaged(String),
    /// Another try, or a person, is needed.
    Failed(StoreError),
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::Failed(error)
    }
}

/// Opens the database for writing, after it was put aside and made anew where that was needed.
pub(super) fn open_or_rebuild(path: &Path) -> Result<(Connection, OpenOutcome, Mark), StoreError> {
    let created = create_private(path)?;
    match open_sound(path) {
        Ok(connection) => {
            let marked = marked_commits(path)?;
            let (commits, mark) = begin_mark(&connection, path)?;
            let outcome = match marked.saturating_sub(commits) {
                0 if created => OpenOutcome::Created,
                0 => OpenOutcome::Opened,
                missing => OpenOutcome::Behind { missing },
            };
            Ok((connection, outcome, mark))
        }
        Err(Refusal::Failed(error)) => Err(error),
        Err(Refusal::Damaged(reason)) => {
            let quarantined = quarantine(path)?;
            tracing::warn!(path = %path.display(), quarantined = %quarantined.display(), reason, "the state database is damaged and was put aside");
            create_private(path)?;
            let connection = open_sound(path).map_err(|refusal| match refusal {
                Refusal::Failed(error) => error,
                Refusal::Damaged(reason) => StoreError::Corrupt { what: "database just after it was made", reason },
            })?;
            let (_, mark) = begin_mark(&connection, path)?;
            Ok((connection, OpenOutcome::Rebuilt { quarantined, reason }, mark))
        }
    }
}

/// Returns how many commits were acknowledged, as far as the mark knows.
fn marked_commits(path: &Path) -> Result<u64, StoreError> {
    let path = beside(path, "-mark");
    let marked = mark::read(&path).map_err(|source| StoreError::Io { action: "read", path, source })?;
    Ok(marked.unwrap_or(0))
}

/// Counts on from what the database has.
fn begin_mark(connection: &Connection, path: &Path) -> Result<(u64, Mark), StoreError> {
    let commits = rows::commits(connection)?;
    Ok((commits, Mark::open(beside(path, "-mark"), commits)))
}

/// Opens the database a second time, for reading only. It must be open for writing already.
pub(super) fn open_for_reading(path: &Path) -> Result<Connection, StoreError> {
    let open = || {
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
        Ok(connection)
    };
    open().map_err(|source| StoreError::Open { path: path.to_path_buf(), source })
}

/// Makes the folder and an empty file where they are missing, and makes both private. Returns whether the
/// database is an empty one.
fn create_private(path: &Path) -> Result<bool, StoreError> {
    let failed = |action, path: &Path, source| StoreError::Io { action, path: path.to_path_buf(), source };
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|source| failed("create the folder", folder, source))?;
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(|source| failed("open the state database", path, source))?;
    let metadata = file.metadata().map_err(|source| failed("look at", path, source))?;
    if metadata.len() == 0 {
        // The name itself must survive a power cut.
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(|source| failed("sync the folder", folder, source))?;
    }
    make_private(folder, 0o700);
    for suffix in ["", "-wal", "-shm", "-mark"] {
        make_private(&beside(path, suffix), 0o600);
    }
    Ok(metadata.len() == 0)
}

/// Takes the rights of others away. A file system without modes is no reason to refuse to work.
fn make_private(path: &Path, mode: u32) {
    let outcome = match std::fs::metadata(path) {
        Ok(metadata) if metadata.permissions().mode() & 0o777 & !mode == 0 => Ok(()),
        Ok(_) => std::fs::set_permissions(path, Permissions::from_mode(mode)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    };
    if let Err(error) = outcome {
        tracing::warn!(path = %path.display(), %error, "could not make it private to its owner");
    }
}

fn open_sound(path: &Path) -> Result<Connection, Refusal> {
    judge_header(path)?;
    let log = beside(path, "-wal");
    match wal::damage(&log) {
        Ok(None) => {}
        Ok(Some(reason)) => return Err(Refusal::Damaged(reason.to_owned())),
        Err(source) => return Err(StoreError::Io { action: "read", path: log, source }.into()),
    }
    let refused = |source| refusal_of(path, source);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(refused)?;
    let version = judge(&connection, path)?;
    configure(&connection).and_then(|()| migrations::migrate(&connection, version)).map_err(refused)?;
    if let Some(difference) = migrations::schema_difference(&connection).map_err(refused)? {
        return Err(Refusal::Damaged(difference));
    }
    rows::read_everything(&connection).map_err(|error| match error {
        StoreError::Statement { source, .. } => refused(source),
        other => Refusal::Damaged(other.to_string()),
    })?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false).map_err(refused)?;
    Ok(connection)
}

/// Looks at the file's header without `SQLite`, which would touch the files beside it.
fn judge_header(path: &Path) -> Result<(), Refusal> {
    let mut header = Vec::with_capacity(100);
    let size = File::open(path)
        .and_then(|file| {
            let size = file.metadata()?.len();
            file.take(100).read_to_end(&mut header)?;
            Ok(size)
        })
        .map_err(|source| StoreError::Io { action: "read the state database", path: path.to_path_buf(), source })?;
    if header.is_empty() {
        return Ok(());
    }
    if header.len() < 100 || !header.starts_with(MAGIC) {
        return Err(Refusal::Damaged("it is not a database".to_owned()));
    }
    let page_size = match u16::from_be_bytes([header[16], header[17]]) {
        1 => 65_536,
        size => u64::from(size.max(1)),
    };
    // A kill while the log is written back can leave half a page; then the log still holds it whole.
    let has_log = std::fs::metadata(beside(path, "-wal")).is_ok_and(|log| log.len() > 0);
    if !has_log && !size.is_multiple_of(page_size) {
        return Err(Refusal::Damaged("its last page is not whole".to_owned()));
    }
    refuse_newer(path, i64::from(i32::from_be_bytes([header[60], header[61], header[62], header[63]])))
}

fn refuse_newer(path: &Path, version: i64) -> Result<(), Refusal> {
    if version > migrations::NEWEST {
        return Err(StoreError::Newer { path: path.to_path_buf(), found: version, known: migrations::NEWEST }.into());
    }
    Ok(())
}

/// Finds out, without a change, whether the database is sound, ours, and of a version we know. Returns the version.
fn judge(connection: &Connection, path: &Path) -> Result<i64, Refusal> {
    let refused = |source| refusal_of(path, source);
    connection.busy_timeout(BUSY_TIMEOUT).map_err(refused)?;
    // What turns out to be damaged or newer keeps its write-ahead log as it is.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(refused)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true).map_err(refused)?;
    connection.pragma_update(None, "cell_size_check", true).map_err(refused)?;
    if connection.is_readonly("main").map_err(refused)? {
        let source = rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_READONLY), None);
        return Err(StoreError::Open { path: path.to_path_buf(), source }.into());
    }
    let version = connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(refused)?;
    refuse_newer(path, version)?;
    let verdict: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(refused)?;
    if verdict != "ok" {
        return Err(Refusal::Damaged(verdict));
    }
    let marked: i32 = connection.pragma_query_value(None, "application_id", |row| row.get(0)).map_err(refused)?;
    let objects: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(refused)?;
    if (version != 0 || objects != 0) && marked != APPLICATION_ID {
        return Err(Refusal::Damaged("it is the database of another program".to_owned()));
    }
    if version < 0 || (version == 0 && objects != 0) {
        return Err(Refusal::Damaged(format!("it has the impossible schema version {version}")));
    }
    Ok(version)
}

fn configure(connection: &Connection) -> rusqlite::Result<()> {
    // A write, and syncs with it, so only where it is missing: starting is to be quick.
    if connection.pragma_query_value(None, "application_id", |row| row.get::<_, i32>(0))? != APPLICATION_ID {
        connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    }
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "journal_size_limit", LARGEST_IDLE_LOG)
}

/// Tells damage from everything that another try or a person can mend.
fn refusal_of(path: &Path, error: rusqlite::Error) -> Refusal {
    match error.sqlite_error() {
        Some(code) if matches!(code.extended_code & 0xff, ffi::SQLITE_CORRUPT | ffi::SQLITE_NOTADB) => Refusal::Damaged(error.to_string()),
        Some(code) if code.extended_code == ffi::SQLITE_IOERR_SHORT_READ => Refusal::Damaged(error.to_string()),
        Some(_) => StoreError::Open { path: path.to_path_buf(), source: error }.into(),
        // A value of the wrong type where our schema allows none.
        None => Refusal::Damaged(error.to_string()),
    }
}

/// Puts the database and what lies beside it aside. The log goes first: it must never meet the new database.
fn quarantine(path: &Path) -> Result<PathBuf, StoreError> {
    let moment = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
    let free = |candidate: &PathBuf| !candidate.exists();
    let first = beside(path, &format!(".corrupt-{moment}"));
    let numbered = (2..1_000u32).map(|number| beside(path, &format!(".corrupt-{moment}-{number}")));
    let quarantined = std::iter::once(first.clone()).chain(numbered).find(free).unwrap_or(first);
    for suffix in ["-wal", "-shm", ""] {
        let source = beside(path, suffix);
        match std::fs::rename(&source, beside(&quarantined, suffix)) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(StoreError::Io { action: "put aside the damaged", path: source, source: error });
            }
            _ => {}
        }
    }
    Ok(quarantined)
}

/// Returns the path with `suffix` appended to its name.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut text = path.as_os_str().to_os_string();
    text.push(suffix);
    PathBuf::from(text)
}
