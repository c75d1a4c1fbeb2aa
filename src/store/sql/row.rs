//! Reading the columns of a row.

use aka_core::domain::{Id, Key, Micros, Project, Stamp};
use bytes::Bytes;

/// A row of an answer. Each method fails if the column does not hold what its type allows.
pub(in crate::store) trait SqlRow {
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
        self.opt_id(column)?.ok_or_else(|| bad_row("NULL in place of bytes"))
    }

    fn opt_id(&self, column: usize) -> Result<Option<Id>, sqlx::Error> {
        let id = self.opt_bytes(column)?.map(Id::new).transpose();
        id.map_err(|fault| bad_row(&format!("an id that {fault}")))
    }

    /// A key from its project and id. Its slot is computed, not read.
    fn key(&self, project: usize, id: usize) -> Result<Key, sqlx::Error> {
        let project = Project::new(self.u64(project)?).ok_or_else(|| bad_row("project 0"))?;
        Ok(Key::new(project, self.id(id)?))
    }
}

fn bad_row(what: &str) -> sqlx::Error {
    sqlx::Error::Decode(format!("a row holds {what}").into())
}
