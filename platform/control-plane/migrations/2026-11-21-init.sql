-- API tokens. The token's text is never kept; its SHA-256 is, sealed with the master key.
CREATE TABLE control_plane_tokens (
    id               TEXT PRIMARY KEY,
    name             TEXT NOT NULL,
    sealed_sha256    BLOB NOT NULL,
    -- JSON: the policies as given when the token was made.
    policies         TEXT NOT NULL,
    issued_ms        INTEGER NOT NULL,
    not_before_ms    INTEGER,
    expires_ms       INTEGER
) STRICT;
