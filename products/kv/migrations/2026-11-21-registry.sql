-- All namespaces of the account. Which shard holds one follows from its id.

CREATE TABLE namespace (
    id TEXT PRIMARY KEY,
    title TEXT NOT NULL UNIQUE
) STRICT, WITHOUT ROWID;
