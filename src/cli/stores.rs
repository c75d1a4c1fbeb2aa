//! The databases that a command reads itself, past the service.

use super::fault::CliFault;
use crate::config::{Database, DatabaseFlags};
use crate::store::{SqliteStore, Store};

/// The stores that the flags name. Reading makes no folder and no file.
pub(super) fn open(flags: DatabaseFlags) -> Result<Vec<Box<dyn Store>>, CliFault> {
    match Database::load(flags)? {
        // Not `Database::sqlite`, which would make the folder.
        Database::Sqlite(path) => Ok(vec![Box::new(SqliteStore::new(path))]),
        Database::MySql { shards, password, connect_timeout } => {
            let stores = Database::mysql(&shards, password.as_ref(), connect_timeout)
                .map_err(|error| CliFault::Config(error.to_string()))?;
            Ok(stores.into_iter().map(|store| Box::new(store) as Box<dyn Store>).collect())
        }
    }
}
