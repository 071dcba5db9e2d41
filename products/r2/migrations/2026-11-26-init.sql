-- One shard: the buckets whose names fall to it, their objects, and the bodies of both objects and parts.

-- One row. Whoever opens the shard takes the next epoch; a body's id begins with the epoch in which it was made.
CREATE TABLE shard (epoch INTEGER NOT NULL) STRICT;
INSERT INTO shard (epoch) VALUES (0);

CREATE TABLE bucket (
    -- Never given twice: what a deleted bucket left behind is nobody's.
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    -- What a bucket's own host carries.
    id TEXT NOT NULL UNIQUE,
    created_ms INTEGER NOT NULL,
    location TEXT,
    jurisdiction TEXT NOT NULL,
    storage_class INTEGER NOT NULL
) STRICT;

CREATE TABLE object (
    bucket INTEGER NOT NULL REFERENCES bucket (number),
    -- UTF-8 as bytes: compared, and therefore listed, byte by byte.
    key BLOB NOT NULL,
    version BLOB NOT NULL,
    size INTEGER NOT NULL,
    etag TEXT NOT NULL,
    uploaded_ms INTEGER NOT NULL,
    storage_class INTEGER NOT NULL,
    -- MD5 of the customer's key, if the body is encrypted with one.
    ssec_key_md5 BLOB,
    -- The body: one blob, or the parts of a completed upload.
    blob INTEGER,
    upload INTEGER,
    -- JSON, NULL if there is nothing in it.
    checksums TEXT,
    http TEXT,
    custom TEXT,
    PRIMARY KEY (bucket, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX object_uploaded ON object (bucket, uploaded_ms);

-- Every body there is. Small ones lie in the row, all others in the file that the id names.
CREATE TABLE blob (
    id INTEGER PRIMARY KEY,
    size INTEGER NOT NULL,
    -- With a customer's key: the random part of the nonces.
    nonce BLOB,
    crc INTEGER,
    small BLOB
) STRICT;

CREATE TABLE upload (
    -- Never given twice: objects keep it after the row has gone.
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    bucket INTEGER NOT NULL REFERENCES bucket (number),
    key BLOB NOT NULL,
    id TEXT NOT NULL UNIQUE,
    started_ms INTEGER NOT NULL,
    -- NULL while parts may come; then when it was completed or aborted. The row stays for a while, for late callers.
    finished_ms INTEGER,
    storage_class INTEGER NOT NULL,
    ssec_key_md5 BLOB,
    http TEXT,
    custom TEXT
) STRICT;

CREATE INDEX upload_key ON upload (bucket, key, id) WHERE finished_ms IS NULL;
CREATE INDEX upload_finished ON upload (finished_ms) WHERE finished_ms IS NOT NULL;

CREATE TABLE part (
    upload INTEGER NOT NULL,
    number INTEGER NOT NULL,
    blob INTEGER NOT NULL,
    size INTEGER NOT NULL,
    md5 BLOB NOT NULL,
    uploaded_ms INTEGER NOT NULL,
    PRIMARY KEY (upload, number)
) STRICT, WITHOUT ROWID;
