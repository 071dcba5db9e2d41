-- The account's databases, in meta.sqlite. Each one's data is a file of its own.
CREATE TABLE d1_database (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    created_ms INTEGER NOT NULL,
    location_hint TEXT,
    jurisdiction TEXT
) STRICT;
