-- Hosts at which R2 buckets are read. A host is in this table or in workers_domains, never in both.
CREATE TABLE workers_bucket_domains (
    hostname         TEXT PRIMARY KEY,
    zone             TEXT NOT NULL,
    -- A bucket of the same name that is made later has another id.
    bucket_id        TEXT NOT NULL,
    bucket_name      TEXT NOT NULL,
    is_enabled       INTEGER NOT NULL,
    -- As its owner asked for it: 1.0, 1.1 or 1.2.
    min_tls          TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX workers_bucket_domains_by_bucket ON workers_bucket_domains (bucket_id);
