-- Whether a module is still named is asked when versions go.
CREATE INDEX workers_modules_by_sha256 ON workers_modules (sha256);
