-- Each row gets a checksum: of what lists show in the upper half, of the value in the lower. NULL in rows from before.
-- The table is made anew since a column that is added comes behind the values.

CREATE TABLE entry_with_checksum (
    rowid INTEGER PRIMARY KEY,
    namespace INTEGER NOT NULL REFERENCES namespace (number),
    -- UTF-8 as bytes: compared, and therefore listed, byte by byte.
    key BLOB NOT NULL,
    expires_s INTEGER,
    metadata TEXT,
    checksum INTEGER,
    -- A large value is a file of this name, length and SHA-256; `value` is then NULL.
    blob TEXT,
    blob_bytes INTEGER,
    blob_sha256 BLOB,
    -- Last, so that lists need not read past it.
    value BLOB,
    UNIQUE (namespace, key)
) STRICT;

INSERT INTO entry_with_checksum (rowid, namespace, key, expires_s, metadata, blob, blob_bytes, blob_sha256, value)
SELECT rowid, namespace, key, expires_s, metadata, blob, blob_bytes, blob_sha256, value FROM entry;
DROP TABLE entry;
ALTER TABLE entry_with_checksum RENAME TO entry;

CREATE INDEX entry_expires ON entry (expires_s) WHERE expires_s IS NOT NULL;
CREATE INDEX entry_blob ON entry (blob) WHERE blob IS NOT NULL;
