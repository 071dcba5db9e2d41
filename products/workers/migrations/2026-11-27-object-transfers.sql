-- Namespaces of Durable Objects that a Worker (the target) declares to expect from another one, or has got so. In both the
-- class has this name.
CREATE TABLE workers_object_transfers (
    target           TEXT NOT NULL,
    class            TEXT NOT NULL,
    source           TEXT NOT NULL,
    is_committed     INTEGER NOT NULL,
    PRIMARY KEY (target, class)
) STRICT, WITHOUT ROWID;
