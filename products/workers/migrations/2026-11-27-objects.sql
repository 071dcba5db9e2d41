-- The tag of the last Durable Object migration of a script.
ALTER TABLE workers_scripts ADD COLUMN migration_tag TEXT;

-- Namespaces of Durable Objects. The id stays while class and script may change: the ids of the objects are derived from it,
-- and their folder bears its name. An id is never used again.
CREATE TABLE workers_object_namespaces (
    id               TEXT PRIMARY KEY,
    script           TEXT NOT NULL,
    class            TEXT NOT NULL,
    has_sql          INTEGER NOT NULL,
    created_ms       INTEGER NOT NULL,
    UNIQUE (script, class)
) STRICT;
