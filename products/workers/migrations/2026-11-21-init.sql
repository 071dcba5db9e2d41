-- The register: which Workers exist, their immutable versions, and the append-only list of deployments.
CREATE TABLE workers_scripts (
    name             TEXT PRIMARY KEY,
    tag              TEXT NOT NULL UNIQUE,
    created_ms       INTEGER NOT NULL,
    modified_ms      INTEGER NOT NULL,
    is_enabled       INTEGER NOT NULL,
    has_previews     INTEGER NOT NULL,
    -- JSON: logpush, tags, observability, tail consumers.
    settings         TEXT NOT NULL,
    -- The number of the newest version ever uploaded; numbers are not used again.
    last_number      INTEGER NOT NULL
) STRICT;

CREATE TABLE workers_versions (
    id               TEXT PRIMARY KEY,
    script           TEXT NOT NULL,
    number           INTEGER NOT NULL,
    created_ms       INTEGER NOT NULL,
    author           TEXT NOT NULL,
    source           TEXT NOT NULL,
    etag             TEXT NOT NULL,
    startup_ms       INTEGER NOT NULL,
    -- JSON: entry, compatibility, bindings without secret text, annotations.
    manifest         TEXT NOT NULL,
    UNIQUE (script, number)
) STRICT;

-- The files of a version; their bytes are in `workers/modules/<sha256>`.
CREATE TABLE workers_modules (
    version          TEXT NOT NULL,
    position         INTEGER NOT NULL,
    name             TEXT NOT NULL,
    kind             TEXT NOT NULL,
    sha256           TEXT NOT NULL,
    size_bytes       INTEGER NOT NULL,
    PRIMARY KEY (version, position)
) STRICT, WITHOUT ROWID;

-- The text of secret bindings, sealed with the master key.
CREATE TABLE workers_secrets (
    version          TEXT NOT NULL,
    name             TEXT NOT NULL,
    sealed           BLOB NOT NULL,
    PRIMARY KEY (version, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE workers_deployments (
    sequence         INTEGER PRIMARY KEY AUTOINCREMENT,
    id               TEXT NOT NULL UNIQUE,
    script           TEXT NOT NULL,
    created_ms       INTEGER NOT NULL,
    author           TEXT NOT NULL,
    source           TEXT NOT NULL,
    -- JSON: an array of {version_id, percentage}.
    versions         TEXT NOT NULL,
    annotations      TEXT NOT NULL
) STRICT;

CREATE INDEX workers_deployments_by_script ON workers_deployments (script, sequence);
