-- Zones, their routes, and custom domains.
CREATE TABLE workers_zones (
    id               TEXT PRIMARY KEY,
    name             TEXT NOT NULL UNIQUE,
    created_ms       INTEGER NOT NULL
) STRICT;

CREATE TABLE workers_zone_routes (
    id               TEXT PRIMARY KEY,
    zone             TEXT NOT NULL,
    -- As its author wrote it.
    pattern          TEXT NOT NULL,
    -- The same for all ways to write one pattern.
    canonical        TEXT NOT NULL UNIQUE,
    -- None: no Worker is to answer.
    script           TEXT
) STRICT;

CREATE INDEX workers_zone_routes_by_zone ON workers_zone_routes (zone);
CREATE INDEX workers_zone_routes_by_script ON workers_zone_routes (script);

CREATE TABLE workers_domains (
    id               TEXT PRIMARY KEY,
    zone             TEXT NOT NULL,
    hostname         TEXT NOT NULL UNIQUE,
    script           TEXT NOT NULL,
    is_enabled       INTEGER NOT NULL
) STRICT;

CREATE INDEX workers_domains_by_script ON workers_domains (script);
