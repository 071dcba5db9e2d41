-- One shard: the namespaces that live here and their keys. The list of all namespaces is in a file of its own.

CREATE TABLE namespace (
    number INTEGER PRIMARY KEY,
    -- NULL once it was deleted; its keys are then swept in the background.
    id TEXT UNIQUE
) STRICT;

CREATE TABLE entry (
    rowid INTEGER PRIMARY KEY,
    namespace INTEGER NOT NULL REFERENCES namespace (number),
    -- UTF-8 as bytes: compared, and therefore listed, byte by byte.
    key BLOB NOT NULL,
    expires_s INTEGER,
    metadata TEXT,
    -- A large value is a file of this name, length and SHA-256; `value` is then NULL.
    blob TEXT,
    blob_bytes INTEGER,
    blob_sha256 BLOB,
    -- Last, so that lists need not read past it.
    value BLOB,
    UNIQUE (namespace, key)
) STRICT;

CREATE INDEX entry_expires ON entry (expires_s) WHERE expires_s IS NOT NULL;
CREATE INDEX entry_blob ON entry (blob) WHERE blob IS NOT NULL;
