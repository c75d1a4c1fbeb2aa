//! As little of sqlx as the statements need, in one form for every database.

use super::query::{Query, SqlArgs};
use super::row::SqlRow;
use super::text::Text;
use crate::store::StoreError;
use aka_core::domain::Bar;
use std::future::Future;
use std::time::Duration;

/// One connection of sqlx.
pub(in crate::store) trait Driver: Send + 'static {
    type Row: SqlRow + Send;
    type Args: SqlArgs;

    /// The rows of a statement.
    fn fetch(
        &mut self,
        query: Query<Self::Args>,
    ) -> impl Future<Output = Result<Vec<Self::Row>, sqlx::Error>> + Send;

    /// Carries out a statement. Returns how many rows it changed.
    fn execute(
        &mut self,
        query: Query<Self::Args>,
    ) -> impl Future<Output = Result<u64, sqlx::Error>> + Send;

    /// The rows of all statements of a text.
    fn fetch_text(
        &mut self,
        text: Text,
    ) -> impl Future<Output = Result<Vec<Self::Row>, sqlx::Error>> + Send;

    /// Carries out all statements of a text.
    fn execute_text(&mut self, text: Text) -> impl Future<Output = Result<(), sqlx::Error>> + Send;

    /// Closes the connection in order, and waits until it is closed.
    fn close(self) -> impl Future<Output = Result<(), sqlx::Error>> + Send;

    /// Carries out a statement without arguments, and does not prepare it.
    fn command(
        &mut self,
        sql: &'static str,
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send;
}

/// The differences between the databases, in SQL and in errors.
pub(in crate::store) trait Backend: Driver {
    /// Begins a write transaction.
    const BEGIN: &'static str;
    /// Begins a transaction whose reads all see the same state.
    const BEGIN_SNAPSHOT: &'static str;
    /// Ends the SELECT that locks the clock row.
    const FOR_UPDATE: &'static str;
    /// The database's time in microseconds since 1970.
    const NOW_US: &'static str;

    /// How long closing a connection may take.
    const CLOSE_LIMIT: Duration;

    /// Takes the lock that makes another migration of the same server wait. sqlx has a lock of its
    /// own, but it asks for an endless wait, which MariaDB does not know.
    const MIGRATION_LOCK: Option<&'static str>;

    /// Asks for a lock by its name, without waiting. The answer is 1 if this connection got it.
    const TRY_LOCK: Option<&'static str>;

    /// Stands before a list of tuples, so that this database answers from an index.
    const TUPLES: &'static str;

    /// What stands before the first row of a list that is used as a table, between two rows, and
    /// after the last.
    const TABLE_ROWS: [&'static str; 3];

    /// What stands around a SELECT of rows and pins, so that keys with neither do not come back. It
    /// looks some of the others up once more. Empty where that costs more than the rows.
    const ROWS_FOUND: [&'static str; 2];

    /// `(a, b, …) IN (…)` for `count` rows, in the form that this database answers from an index.
    fn rows_in(columns: &[&str], count: usize) -> String {
        let row = format!("({})", vec!["?"; columns.len()].join(", "));
        let rows = vec![row; count].join(", ");
        format!("({}) IN ({}{rows})", columns.join(", "), Self::TUPLES)
    }

    /// Whether the error says that another write was in the way and nothing was written.
    fn is_busy(error: &sqlx::Error) -> bool;

    /// Whether the server closes the connection after this error.
    fn is_goodbye(error: &sqlx::Error) -> bool;

    /// The definite condition of the database that the error tells of, if it is one.
    fn bar(error: &sqlx::Error) -> Option<Bar>;

    /// Whether a commit that failed with this error surely committed nothing.
    fn is_rolled_back(error: &sqlx::Error) -> bool;

    /// Which columns of these tables the database has: its query has the rows table, column and
    /// type.
    fn columns_of(tables: &[&str]) -> String;
}

/// A statement that is too long for the server. It stands in `sqlx::Error::Encode`.
#[derive(Debug, thiserror::Error)]
#[error("a statement of {bytes} bytes is longer than {limit} bytes")]
pub(super) struct TooLong {
    pub bytes: usize,
    pub limit: usize,
}

/// Closes a connection in order, within the limit of its kind. Returns an error if that failed.
pub(in crate::store) async fn close<B: Backend>(connection: B) -> Result<(), sqlx::Error> {
    match tokio::time::timeout(B::CLOSE_LIMIT, connection.close()).await {
        Ok(closed) => closed,
        Err(_) => Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())),
    }
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
    if let Some(bar) = B::bar(&error) {
        return StoreError::Barred { address, bar, cause };
    }
    match error {
        sqlx::Error::Encode(source) if source.is::<TooLong>() => {
            let (bytes, limit) = source
                .downcast_ref::<TooLong>()
                .map_or((0, 0), |TooLong { bytes, limit }| (*bytes, *limit));
            StoreError::TooLarge { address, bytes, limit }
        }
        sqlx::Error::Database(_) | sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. } => {
            StoreError::Refused { address, cause }
        }
        _ => StoreError::Unreachable { address, cause },
    }
}

/// Implements [`Driver`] for a connection of sqlx.
macro_rules! driver {
    ($database:ty, $connection:ty, $arguments:ty, $row:ty) => {
        impl crate::store::sql::query::SqlArgs for $arguments {
            fn add_int(&mut self, value: i64) {
                // Encoding a number cannot fail.
                let _ = sqlx::Arguments::add(self, value);
            }

            fn add_bytes(&mut self, value: &[u8]) {
                // Encoding bytes cannot fail either.
                let _ = sqlx::Arguments::add(self, value.to_vec());
            }
        }

        impl crate::store::sql::row::SqlRow for $row {
            fn int(&self, column: usize) -> Result<i64, sqlx::Error> {
                sqlx::Row::try_get(self, column)
            }

            fn opt_bytes(&self, column: usize) -> Result<Option<bytes::Bytes>, sqlx::Error> {
                let bytes: Option<Vec<u8>> = sqlx::Row::try_get(self, column)?;
                Ok(bytes.map(bytes::Bytes::from))
            }
        }

        impl crate::store::sql::backend::Driver for $connection {
            type Row = $row;
            type Args = $arguments;

            async fn fetch(&mut self, query: Query<$arguments>) -> Result<Vec<$row>, sqlx::Error> {
                let sql = sqlx::AssertSqlSafe(query.sql);
                sqlx::query_with::<$database, _>(sql, query.args).fetch_all(self).await
            }

            async fn execute(&mut self, query: Query<$arguments>) -> Result<u64, sqlx::Error> {
                let sql = sqlx::AssertSqlSafe(query.sql);
                let done = sqlx::query_with::<$database, _>(sql, query.args).execute(self).await?;
                Ok(done.rows_affected())
            }

            async fn fetch_text(&mut self, text: Text) -> Result<Vec<$row>, sqlx::Error> {
                // `text.rs` says why no value can end a literal.
                let sql = sqlx::AssertSqlSafe(text.0);
                sqlx::Executor::fetch_all(self, sqlx::raw_sql(sql)).await
            }

            async fn execute_text(&mut self, text: Text) -> Result<(), sqlx::Error> {
                let sql = sqlx::AssertSqlSafe(text.0);
                sqlx::Executor::execute(self, sqlx::raw_sql(sql)).await.map(drop)
            }

            async fn close(self) -> Result<(), sqlx::Error> {
                let mut connection = self;
                // Reads what is left of an answer that nobody waited for. If it were unread, the
                // other side would find the connection reset.
                sqlx::Connection::ping(&mut connection).await?;
                sqlx::Connection::close(connection).await
            }

            async fn command(&mut self, sql: &'static str) -> Result<(), sqlx::Error> {
                sqlx::Executor::execute(self, sqlx::raw_sql(sql)).await.map(drop)
            }
        }
    };
}
pub(super) use driver;
