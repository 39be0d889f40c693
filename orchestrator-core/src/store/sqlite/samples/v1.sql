-- A database of version 1 as the program of that version left it. Never changes.
PRAGMA application_id = 1330791240;
PRAGMA user_version = 1;
PRAGMA journal_mode = WAL;


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

CREATE TABLE operations (
    id         TEXT    NOT NULL PRIMARY KEY,
    created_at INTEGER NOT NULL,
    status     TEXT    NOT NULL CHECK (status IN ('running', 'succeeded', 'failed', 'cancelled')),
    document   TEXT    NOT NULL
) STRICT;
CREATE INDEX operations_by_age ON operations (created_at, id);

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

INSERT INTO instances VALUES ('demo', 1, 2, '{"name":"demo","model":{"ref":"file:/models/demo.gguf"}}', '{"identity":{"kind":"process","pid":4711,"start_ticks":8123456,"boot_id":"3f2a0b1c-7d5e-4c1a-9b2e-0123456789ab"},"address":"127.0.0.1:43211","started_at":"2026-11-21T09:00:00.123456789Z","health_path":"/health"}');
INSERT INTO instances VALUES ('idle', 0, 0, '{"name":"idle","model":{"ref":"hf:owner/repo"}}', NULL);
INSERT INTO models VALUES ('file:/models/demo.gguf', '{"reference":"file:/models/demo.gguf","path":"/models/demo.gguf","format":"gguf","name":"demo","architecture":"llama","quantisation":"Q4_K_M","context_length":4096,"parameters":1000000,"size_bytes":700000,"has_chat_template":true}');
INSERT INTO envs VALUES ('llama-cpp-cpu', '{"key":"llama-cpp-cpu","digest":"9f86d081","path":"/home/envs/llama-cpp-cpu/9f86d081","python":"/home/envs/llama-cpp-cpu/9f86d081/bin/python","launcher":"/home/envs/llama-cpp-cpu/9f86d081/launch.py","engine_version":"b7000","created_at":"2026-11-21T08:00:00Z","size_bytes":50000000}');
INSERT INTO operations VALUES ('019aa000-0000-7000-8000-000000000001', 1763712000000, 'running', '{"id":"019aa000-0000-7000-8000-000000000001","kind":{"kind":"create_environment","key":"llama-cpp-cpu"},"created_at":"2025-11-21T08:00:00Z","status":{"status":"running","progress":{"phase":"fetching","done":1,"total":2}}}');
INSERT INTO operations VALUES ('019aa000-0000-7000-8000-000000000002', 1763712001000, 'succeeded', '{"id":"019aa000-0000-7000-8000-000000000002","kind":{"kind":"create_environment","key":"llama-cpp-cpu"},"created_at":"2025-11-21T08:00:01Z","status":{"status":"succeeded","at":"2025-11-21T08:01:00Z"}}');
INSERT INTO operations VALUES ('019aa000-0000-7000-8000-000000000003', 1763712002000, 'failed', '{"id":"019aa000-0000-7000-8000-000000000003","kind":{"kind":"create_environment","key":"llama-cpp-cpu"},"created_at":"2025-11-21T08:00:02Z","status":{"status":"failed","at":"2025-11-21T08:01:00Z","problem":{"code":"env.disk_full","status":507,"title":"the disk is full","causes":["no space left on device"],"hint":"free some space"}}}');
INSERT INTO operations VALUES ('019aa000-0000-7000-8000-000000000004', 1763712003000, 'cancelled', '{"id":"019aa000-0000-7000-8000-000000000004","kind":{"kind":"create_environment","key":"llama-cpp-cpu"},"created_at":"2025-11-21T08:00:03Z","status":{"status":"cancelled","at":"2025-11-21T08:01:00Z"}}');
INSERT INTO events VALUES (13, '"2026-11-21T08:59:00Z"', '"daemon"', NULL, 'the daemon started', NULL);
INSERT INTO events VALUES (14, '"2026-11-21T09:00:00Z"', '"instance_state"', 'demo', '`demo` is ready', '{"state":"ready"}');
INSERT INTO events VALUES (15, '"2026-11-21T09:00:01Z"', '"instance_adopted"', 'demo', '`demo` was taken over', '{"pid":4711}');
INSERT INTO events VALUES (16, '"2026-11-21T09:00:02Z"', '"operation"', NULL, 'an environment is being built', NULL);
INSERT INTO events VALUES (17, '"2026-11-21T09:00:03Z"', '"warning"', NULL, 'the disk is nearly full', NULL);
DELETE FROM events WHERE sequence IN (13, 15);
INSERT INTO kv VALUES ('answer', '42');
