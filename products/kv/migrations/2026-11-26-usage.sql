-- How many keys a namespace holds and how many bytes their values have; each commit keeps both up to date. Keys whose time has come
-- count until they are swept.

ALTER TABLE namespace ADD COLUMN keys INTEGER NOT NULL DEFAULT 0;
ALTER TABLE namespace ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0;

UPDATE namespace SET (keys, bytes) = (
    SELECT count(*), coalesce(sum(coalesce(blob_bytes, length(value))), 0) FROM entry
    WHERE entry.namespace = namespace.number);
