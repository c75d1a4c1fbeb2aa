-- Two versions side by side, and shards that are groups of servers.

-- One row: when a server of the shard last committed to this table, by its own clock, and which server
-- that was. A primary proves with it that its commits succeed. No write of aliases waits for it.
CREATE TABLE IF NOT EXISTS shard_beat (
    id      TINYINT        NOT NULL,
    beat_us BIGINT         NOT NULL,
    beat_by VARBINARY(255) NOT NULL,
    PRIMARY KEY (id)
) ENGINE = InnoDB;

-- A migration that was interrupted may have left it.
INSERT IGNORE INTO shard_beat (id, beat_us, beat_by) VALUES (1, 1, '');

-- The oldest version of aka that may use these tables.
ALTER TABLE shard_meta ADD COLUMN min_compatible_version INT NOT NULL DEFAULT 1;
