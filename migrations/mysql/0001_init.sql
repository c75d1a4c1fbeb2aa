-- The tables of one shard. Ids are binary: never a collation that folds case or pads.
-- All integers are signed; projects, seqs, nonces and stamps are below 2^63. Times are microseconds since 1970.

-- Forward rows, one for each alias, in the slot of alias_id. Read by one primary-key lookup.
CREATE TABLE IF NOT EXISTS alias (
    slot           SMALLINT       NOT NULL,
    project_id     BIGINT         NOT NULL,
    alias_id       VARBINARY(255) NOT NULL,
    canonical_id   VARBINARY(255) NOT NULL,
    version        BIGINT         NOT NULL,
    stamp          BIGINT         NOT NULL,
    create_time_us BIGINT         NOT NULL,
    update_time_us BIGINT         NOT NULL,
    PRIMARY KEY (slot, project_id, alias_id)
) ENGINE = InnoDB;

-- Inverse rows, in the slot of canonical_id. One of them pins canonical_id: it can be no alias.
CREATE TABLE IF NOT EXISTS canonical (
    slot           SMALLINT       NOT NULL,
    project_id     BIGINT         NOT NULL,
    canonical_id   VARBINARY(255) NOT NULL,
    alias_id       VARBINARY(255) NOT NULL,
    stamp          BIGINT         NOT NULL,
    create_time_us BIGINT         NOT NULL,
    PRIMARY KEY (slot, project_id, canonical_id, alias_id, stamp)
) ENGINE = InnoDB;

-- The change log: what every running instance follows.
CREATE TABLE IF NOT EXISTS alias_change (
    seq              BIGINT         NOT NULL,
    nonce            BIGINT         NOT NULL,
    slot             SMALLINT       NOT NULL,
    project_id       BIGINT         NOT NULL,
    alias_id         VARBINARY(255) NOT NULL,
    old_canonical_id VARBINARY(255) NULL,
    new_canonical_id VARBINARY(255) NULL,
    change_time_us   BIGINT         NOT NULL,
    PRIMARY KEY (seq)
) ENGINE = InnoDB;

-- One row: which shard this is, and its clock. Every write transaction locks it first.
CREATE TABLE IF NOT EXISTS shard_meta (
    id             TINYINT         NOT NULL,
    cluster_id     BIGINT          NOT NULL,
    shard_id       INT             NOT NULL,
    shard_count    INT             NOT NULL,
    slots          VARBINARY(24000) NOT NULL,
    schema_version INT             NOT NULL,
    seq            BIGINT          NOT NULL,
    nonce          BIGINT          NOT NULL,
    PRIMARY KEY (id)
) ENGINE = InnoDB;
