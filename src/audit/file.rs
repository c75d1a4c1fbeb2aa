//! The file of the audit trail. It is opened again when it has been moved away (log rotation).

use crate::metrics::ReloadedPart;
use crate::reload::ReloadedFiles;
use parking_lot::Mutex;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::Arc;

/// A file that lines are appended to.
pub struct AuditFile {
    path: PathBuf,
    /// `None`: it has not been opened yet.
    current: Mutex<Option<Arc<File>>>,
}

impl AuditFile {
    /// A file that is still to be opened.
    pub fn new(path: PathBuf) -> Self {
        Self { path, current: Mutex::new(None) }
    }

    /// Opens the file. If there is none it is made, for its owner alone.
    ///
    /// # Errors
    /// A sentence, if it cannot be opened.
    pub fn open(&self) -> Result<(), String> {
        let opened = OpenOptions::new().append(true).create(true).mode(0o600).open(&self.path);
        let file = opened.map_err(|error| {
            format!("the audit log {} cannot be opened: {error}", self.path.display())
        })?;
        *self.current.lock() = Some(Arc::new(file));
        Ok(())
    }

    /// The file that is open.
    pub(super) fn current(&self) -> io::Result<Arc<File>> {
        self.current.lock().clone().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl ReloadedFiles for AuditFile {
    fn part(&self) -> ReloadedPart {
        ReloadedPart::AuditLog
    }

    fn look(&self, asked: bool) -> Option<Result<(), String>> {
        asked.then(|| self.open())
    }
}

impl fmt::Debug for AuditFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path.fmt(f)
    }
}
