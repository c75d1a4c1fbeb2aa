-- The tables of the one shard of the embedded store; the same as migrations/mysql, column for column.

CREATE TABLE IF NOT EXISTS alias (
    slot           INTEGER NOT NULL,
    project_id     INTEGER NOT NULL,
    alias_id       BLOB    NOT NULL,
    canonical_id   BLOB    NOT NULL,
    version        INTEGER NOT NULL,
    stamp          INTEGER NOT NULL,
    create_time_us INTEGER NOT NULL,
    update_time_us INTEGER NOT NULL,
    PRIMARY KEY (slot, project_id, alias_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS canonical (
    slot           INTEGER NOT NULL,
    project_id     INTEGER NOT NULL,
    canonical_id   BLOB    NOT NULL,
    alias_id       BLOB    NOT NULL,
    stamp          INTEGER NOT NULL,
    create_time_us INTEGER NOT NULL,
    PRIMARY KEY (slot, project_id, canonical_id, alias_id, stamp)
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS alias_change (
    seq              INTEGER NOT NULL PRIMARY KEY,
    nonce            INTEGER NOT NULL,
    slot             INTEGER NOT NULL,
    project_id       INTEGER NOT NULL,
    alias_id         BLOB    NOT NULL,
    old_canonical_id BLOB    NULL,
    new_canonical_id BLOB    NULL,
    change_time_us   INTEGER NOT NULL
) STRICT;

CREATE TABLE IF NOT EXISTS shard_meta (
    id             INTEGER NOT NULL PRIMARY KEY,
    cluster_id     INTEGER NOT NULL,
    shard_id       INTEGER NOT NULL,
    shard_count    INTEGER NOT NULL,
    slots          BLOB    NOT NULL,
    schema_version INTEGER NOT NULL,
    seq            INTEGER NOT NULL,
    nonce          INTEGER NOT NULL
) STRICT;
