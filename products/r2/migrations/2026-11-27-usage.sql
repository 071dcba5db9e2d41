-- What a bucket holds: each change of an object keeps it up to date in the same commit, whoever makes it.

ALTER TABLE bucket ADD COLUMN objects INTEGER NOT NULL DEFAULT 0;
-- Of the objects' bodies.
ALTER TABLE bucket ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0;
-- Of their keys and of what their writers said of them.
ALTER TABLE bucket ADD COLUMN metadata_bytes INTEGER NOT NULL DEFAULT 0;

UPDATE bucket SET (objects, bytes, metadata_bytes) = (
    SELECT count(*), coalesce(sum(size), 0),
        coalesce(sum(length(key) + coalesce(octet_length(http), 0) + coalesce(octet_length(custom), 0)), 0)
    FROM object WHERE bucket = bucket.number);

CREATE TRIGGER object_came AFTER INSERT ON object BEGIN
    UPDATE bucket SET
        objects = objects + 1,
        bytes = bytes + NEW.size,
        metadata_bytes = metadata_bytes
            + length(NEW.key) + coalesce(octet_length(NEW.http), 0) + coalesce(octet_length(NEW.custom), 0)
    WHERE number = NEW.bucket;
END;

CREATE TRIGGER object_went AFTER DELETE ON object BEGIN
    UPDATE bucket SET
        objects = objects - 1,
        bytes = bytes - OLD.size,
        metadata_bytes = metadata_bytes
            - length(OLD.key) - coalesce(octet_length(OLD.http), 0) - coalesce(octet_length(OLD.custom), 0)
    WHERE number = OLD.bucket;
END;
