//! As little of sqlx as the statements need, the same for every database.

use super::super::StoreError;
use super::text::Text;
use aka_core::domain::{Id, Key, Micros, Project, Stamp};
use bytes::Bytes;
use std::future::Future;

/// One connection, and where its SQL differs.
pub(in crate::store) trait Backend: Send + 'static {
    type Row: Row + Send;
    type Args: Args;

    /// Begins a write transaction.
    const BEGIN: &'static str;
    /// Begins a transaction whose reads all see the same.
    const BEGIN_SNAPSHOT: &'static str;
    /// Follows the SELECT that takes the clock.
    const FOR_UPDATE: &'static str;
    /// The database's time in microseconds since 1970.
    const NOW_US: &'static str;

    /// Takes a lock that keeps another migration of the same server waiting, where there is one that
    /// sqlx's own does not replace: MariaDB does not know the endless wait that sqlx asks for.
    const MIGRATION_LOCK: Option<&'static str>;

    /// Asks for a lock by its name, without waiting, and answers 1 to whoever got it.
    const TRY_LOCK: Option<&'static str>;

    /// `(a, b, …) IN (…)` for `count` rows, in the form that this database answers from an index.
    fn rows_in(columns: &[&str], count: usize) -> String;

    fn fetch(
        &mut self,
        query: Query<Self::Args>,
    ) -> impl Future<Output = Result<Vec<Self::Row>, sqlx::Error>> + Send;

    /// How many rows it changed.
    fn execute(
        &mut self,
        query: Query<Self::Args>,
    ) -> impl Future<Output = Result<u64, sqlx::Error>> + Send;

    /// What a list of tuples begins with, where this database answers from an index.
    const TUPLES: &'static str;

    /// What each row of a list of `VALUES` begins with, where it stands in the place of a table.
    const VALUES_ROW: &'static str;

    /// The rows of all statements of a text.
    fn fetch_text(
        &mut self,
        text: Text,
    ) -> impl Future<Output = Result<Vec<Self::Row>, sqlx::Error>> + Send;

    fn execute_text(&mut self, text: Text) -> impl Future<Output = Result<(), sqlx::Error>> + Send;

    /// A statement without arguments that is not worth preparing.
    fn command(
        &mut self,
        sql: &'static str,
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send;

    /// Whether the error says that another writer was in the way and nothing was written.
    fn is_busy(error: &sqlx::Error) -> bool;

    /// Whether the error is the server's last word on this connection.
    fn is_goodbye(error: &sqlx::Error) -> bool;
}

/// A statement with its arguments.
pub(in crate::store) struct Query<A> {
    pub sql: String,
    pub args: A,
}

impl<A: Args> Query<A> {
    pub fn new(sql: impl Into<String>) -> Self {
        Self { sql: sql.into(), args: A::default() }
    }

    pub fn int(mut self, value: impl TryInto<i64>) -> Self {
        self.add_int(value);
        self
    }

    pub fn bytes(mut self, value: &[u8]) -> Self {
        self.args.add_bytes(Some(value));
        self
    }

    pub fn key(mut self, key: &Key) -> Self {
        self.add_key(key);
        self
    }

    /// All numbers of aka are below 2^63 (they come from a column, or were drawn so); one that is
    /// not becomes the greatest, which no row has.
    pub fn add_int(&mut self, value: impl TryInto<i64>) {
        self.args.add_int(value.try_into().unwrap_or(i64::MAX));
    }

    pub fn add_key(&mut self, key: &Key) {
        self.add_int(key.slot().get());
        self.add_int(key.project().get());
        self.args.add_bytes(Some(key.id().as_bytes()));
    }
}

/// Arguments of a statement.
pub(in crate::store) trait Args: Default + Send {
    fn add_int(&mut self, value: i64);
    fn add_bytes(&mut self, value: Option<&[u8]>);
}

/// A row of an answer.
pub(in crate::store) trait Row {
    fn int(&self, column: usize) -> Result<i64, sqlx::Error>;
    fn opt_bytes(&self, column: usize) -> Result<Option<Bytes>, sqlx::Error>;

    fn u64(&self, column: usize) -> Result<u64, sqlx::Error> {
        self.int(column)?.try_into().map_err(|_| bad_row("a negative number"))
    }

    fn u16(&self, column: usize) -> Result<u16, sqlx::Error> {
        self.int(column)?.try_into().map_err(|_| bad_row("a number out of range"))
    }

    fn micros(&self, column: usize) -> Result<Micros, sqlx::Error> {
        self.int(column).map(Micros)
    }

    fn stamp(&self, column: usize) -> Result<Stamp, sqlx::Error> {
        self.u64(column).map(Stamp)
    }

    fn bytes(&self, column: usize) -> Result<Bytes, sqlx::Error> {
        self.opt_bytes(column)?.ok_or_else(|| bad_row("NULL in place of bytes"))
    }

    fn id(&self, column: usize) -> Result<Id, sqlx::Error> {
        Id::new(self.bytes(column)?).map_err(|fault| bad_row(&format!("an id that {fault}")))
    }

    fn opt_id(&self, column: usize) -> Result<Option<Id>, sqlx::Error> {
        let id = self.opt_bytes(column)?.map(Id::new).transpose();
        id.map_err(|fault| bad_row(&format!("an id that {fault}")))
    }

    /// A key from its project and id; its slot is computed, not read.
    fn key(&self, project: usize, id: usize) -> Result<Key, sqlx::Error> {
        let project = Project::new(self.u64(project)?).ok_or_else(|| bad_row("project 0"))?;
        Ok(Key::new(project, self.id(id)?))
    }
}

fn bad_row(what: &str) -> sqlx::Error {
    sqlx::Error::Decode(format!("a row holds {what}").into())
}

/// Sorts an error of the driver by what the caller can do about it.
pub(in crate::store) fn classify<B: Backend>(address: &str, error: sqlx::Error) -> StoreError {
    let (address, cause) = (address.to_owned(), error.to_string());
    if B::is_busy(&error) {
        return StoreError::Busy { address, cause };
    }
    if B::is_goodbye(&error) {
        return StoreError::Unreachable { address, cause };
    }
    match error {
        sqlx::Error::Database(_) | sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. } => {
            StoreError::Refused { address, cause }
        }
        _ => StoreError::Unreachable { address, cause },
    }
}

/// `(?, ?, …)`.
pub(super) fn tuple(item: &str, count: usize) -> String {
    format!("({})", vec![item; count].join(", "))
}

/// Implements [`Backend`]'s plumbing for a connection of sqlx.
macro_rules! plumbing {
    ($database:ty, $connection:ty, $arguments:ty, $row:ty) => {
        impl crate::store::sql::backend::Args for $arguments {
            fn add_int(&mut self, value: i64) {
                // Encoding a number cannot fail.
                let _ = sqlx::Arguments::add(self, value);
            }

            fn add_bytes(&mut self, value: Option<&[u8]>) {
                // Nor can encoding bytes.
                let _ = sqlx::Arguments::add(self, value.map(<[u8]>::to_vec));
            }
        }

        impl crate::store::sql::backend::Row for $row {
            fn int(&self, column: usize) -> Result<i64, sqlx::Error> {
                sqlx::Row::try_get(self, column)
            }

            fn opt_bytes(&self, column: usize) -> Result<Option<bytes::Bytes>, sqlx::Error> {
                let bytes: Option<Vec<u8>> = sqlx::Row::try_get(self, column)?;
                Ok(bytes.map(bytes::Bytes::from))
            }
        }

        async fn fetch_all(
            connection: &mut $connection,
            query: crate::store::sql::Query<$arguments>,
        ) -> Result<Vec<$row>, sqlx::Error> {
            let sql = sqlx::AssertSqlSafe(query.sql);
            sqlx::query_with::<$database, _>(sql, query.args).fetch_all(connection).await
        }

        async fn fetch_text(
            connection: &mut $connection,
            text: crate::store::sql::text::Text,
        ) -> Result<Vec<$row>, sqlx::Error> {
            // Safe: see `Text`.
            let sql = sqlx::AssertSqlSafe(text.0);
            sqlx::Executor::fetch_all(connection, sqlx::raw_sql(sql)).await
        }

        async fn execute_text(
            connection: &mut $connection,
            text: crate::store::sql::text::Text,
        ) -> Result<(), sqlx::Error> {
            let sql = sqlx::AssertSqlSafe(text.0);
            sqlx::Executor::execute(connection, sqlx::raw_sql(sql)).await.map(drop)
        }

        async fn execute_one(
            connection: &mut $connection,
            query: crate::store::sql::Query<$arguments>,
        ) -> Result<u64, sqlx::Error> {
            let sql = sqlx::AssertSqlSafe(query.sql);
            let done =
                sqlx::query_with::<$database, _>(sql, query.args).execute(connection).await?;
            Ok(done.rows_affected())
        }
    };
}
pub(super) use plumbing;
