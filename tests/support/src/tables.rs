//! The tables of a shard, read past `aka`.

use sqlx::AssertSqlSafe;
use sqlx::mysql::MySqlConnection;
use sqlx::sqlite::SqliteConnection;

/// The rows of one shard. Each table is in the order of its primary key.
#[derive(Clone, Debug, PartialEq)]
pub struct Tables {
    pub forward: Vec<ForwardRow>,
    pub inverse: Vec<InverseRow>,
    pub changes: Vec<ChangeRow>,
    /// Seq and nonce of the clock row.
    pub clock: (i64, i64),
}

#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct ForwardRow {
    pub slot: i64,
    pub project_id: i64,
    pub alias_id: Vec<u8>,
    pub canonical_id: Vec<u8>,
    pub version: i64,
    pub stamp: i64,
    pub create_time_us: i64,
    pub update_time_us: i64,
}

#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct InverseRow {
    pub slot: i64,
    pub project_id: i64,
    pub canonical_id: Vec<u8>,
    pub alias_id: Vec<u8>,
    pub stamp: i64,
    pub create_time_us: i64,
}

#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct ChangeRow {
    pub seq: i64,
    pub nonce: i64,
    pub slot: i64,
    pub project_id: i64,
    pub alias_id: Vec<u8>,
    pub old_canonical_id: Option<Vec<u8>>,
    pub new_canonical_id: Option<Vec<u8>>,
    pub change_time_us: i64,
}

/// A connection to one shard, past `aka`.
pub enum Raw {
    Sqlite(SqliteConnection),
    MySql(MySqlConnection),
}

macro_rules! rows {
    ($raw:expr, $sql:expr) => {
        match $raw {
            Raw::Sqlite(connection) => sqlx::query_as($sql).fetch_all(connection).await,
            Raw::MySql(connection) => sqlx::query_as($sql).fetch_all(connection).await,
        }
        .unwrap_or_else(|error| panic!("{}: {error}", stringify!($sql)))
    };
}

impl Raw {
    /// Reads all rows.
    pub async fn tables(&mut self) -> Tables {
        let clock: Vec<(i64, i64)> = rows!(self, "SELECT seq, nonce FROM shard_meta");
        Tables {
            forward: rows!(self, "SELECT * FROM alias ORDER BY slot, project_id, alias_id"),
            inverse: rows!(
                self,
                "SELECT * FROM canonical ORDER BY slot, project_id, canonical_id, alias_id, stamp"
            ),
            changes: rows!(self, "SELECT * FROM alias_change ORDER BY seq"),
            clock: clock[0],
        }
    }

    /// Runs statements.
    pub async fn execute(&mut self, sql: &str) {
        let done = match self {
            Self::Sqlite(connection) => {
                sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.map(drop)
            }
            Self::MySql(connection) => {
                sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.map(drop)
            }
        };
        done.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    /// The one number that a query returns.
    pub async fn number(&mut self, sql: &str) -> i64 {
        let rows: Vec<(i64,)> = rows!(self, AssertSqlSafe(sql));
        rows[0].0
    }
}
