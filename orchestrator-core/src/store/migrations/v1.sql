-- Structured values are JSON documents; what is searched or sorted by has a column of its own.
-- The text of each statement is compared with that in the database: not even its spaces may change.

-- `spec` is the configuration the server was started with; `server` is empty while none is known to run.
CREATE TABLE instances (
    name     TEXT    NOT NULL PRIMARY KEY,
    wanted   INTEGER NOT NULL CHECK (wanted IN (0, 1)),
    restarts INTEGER NOT NULL CHECK (restarts >= 0),
    spec     TEXT    NOT NULL,
    server   TEXT
) STRICT;

CREATE TABLE models (
    reference TEXT NOT NULL PRIMARY KEY,
    document  TEXT NOT NULL
) STRICT;

CREATE TABLE envs (
    key      TEXT NOT NULL PRIMARY KEY,
    document TEXT NOT NULL
) STRICT;

-- `created_at`: milliseconds since 1970 (UTC).
CREATE TABLE operations (
    id         TEXT    NOT NULL PRIMARY KEY,
    created_at INTEGER NOT NULL,
    status     TEXT    NOT NULL CHECK (status IN ('running', 'succeeded', 'failed', 'cancelled')),
    document   TEXT    NOT NULL
) STRICT;
CREATE INDEX operations_by_age ON operations (created_at, id);

-- AUTOINCREMENT: the number of an event is never given to another one, not even when the newest are gone.
CREATE TABLE events (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    at       TEXT NOT NULL,
    kind     TEXT NOT NULL,
    instance TEXT,
    message  TEXT NOT NULL,
    data     TEXT
) STRICT;
CREATE INDEX events_by_instance ON events (instance, sequence) WHERE instance IS NOT NULL;

CREATE TABLE kv (
    key   TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;
