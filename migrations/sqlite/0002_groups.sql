-- The same as migrations/mysql, column for column. A file is no group of servers, so its beat stays.

CREATE TABLE IF NOT EXISTS shard_beat (
    id      INTEGER NOT NULL PRIMARY KEY,
    beat_us INTEGER NOT NULL,
    beat_by BLOB    NOT NULL
) STRICT;

INSERT OR IGNORE INTO shard_beat (id, beat_us, beat_by) VALUES (1, 1, x'');

ALTER TABLE shard_meta ADD COLUMN min_compatible_version INTEGER NOT NULL DEFAULT 1;
