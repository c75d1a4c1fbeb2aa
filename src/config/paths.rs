//! The files and folders of a configuration, and their checks.

use super::database::Database;
use super::fault::ConfigFault;
use rustix::fs::{Access, access};
use std::path::{Path, PathBuf};

/// The folder of the filter's snapshots. A folder that is named must exist and be writable. If none
/// is named, it is the folder of the SQLite file, which is made when the file is opened. Over MySQL
/// the service writes nothing to disk unless it is told to.
pub(super) fn filter_dir(
    set: Option<PathBuf>,
    database: &Database,
) -> Result<Option<PathBuf>, ConfigFault> {
    let beside = match database {
        Database::Sqlite(path) => path.parent().map(Path::to_owned),
        Database::MySql { .. } => None,
    };
    // A mere file name has an empty path as its folder.
    let beside =
        beside.map(|folder| if folder.as_os_str().is_empty() { ".".into() } else { folder });
    let Some(folder) = set.filter(|folder| Some(folder) != beside.as_ref()) else {
        return Ok(beside);
    };
    let fault = |what: String| Err(ConfigFault(format!("filter_dir is {folder:?}, {what}")));
    match std::fs::metadata(&folder) {
        Err(error) => return fault(format!("which cannot be looked into: {error}")),
        Ok(found) if !found.is_dir() => return fault("which is no folder".to_owned()),
        Ok(_) => {}
    }
    // This also finds a file system that is read-only.
    match access(&folder, Access::WRITE_OK | Access::EXEC_OK) {
        Err(error) => fault(format!("which cannot be written to: {error}")),
        Ok(()) => Ok(Some(folder)),
    }
}
