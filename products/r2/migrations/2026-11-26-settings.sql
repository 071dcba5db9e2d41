-- What a bucket's owner sets: one JSON document of each kind (`cors`, `lifecycle`, `hosts`).

CREATE TABLE bucket_setting (
    bucket INTEGER NOT NULL REFERENCES bucket (number),
    kind TEXT NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (bucket, kind)
) STRICT, WITHOUT ROWID;
