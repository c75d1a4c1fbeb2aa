//! The file of a shard's snapshot.
//!
//! Only the service may read it: the filter tells whether an id is an alias.

use crate::shard::owner;
use aka_core::coherence::{FilterImage, SavedFilter, SnapshotFault};
use aka_core::domain::Identity;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A temporary file of this age was left by a process that died.
const ABANDONED: Duration = Duration::from_secs(3_600);

/// The beginning of a temporary file's extension.
const TEMPORARY: &str = "filter-";

pub(super) struct Disk {
    path: PathBuf,
}

impl Disk {
    /// Named by cluster and shard. Clusters and instances may share a folder, because each file is
    /// whole whichever instance wrote it.
    pub fn new(folder: &Path, identity: &Identity) -> Self {
        let name = format!("{}-{}.filter", identity.cluster, identity.shard);
        Self { path: folder.join(name) }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The snapshot. `None` if there is no file.
    pub fn load(&self, identity: &Identity) -> Result<Option<SavedFilter>, SnapshotFault> {
        match fs::metadata(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
            // Opening a pipe would block.
            Ok(found) if !found.is_file() => return Err(SnapshotFault::Unknown),
            Ok(found) => owner::check(&found)?,
        }
        let file = File::open(&self.path)?;
        let length = file.metadata()?.len();
        SavedFilter::read(identity, length, &mut BufReader::new(file)).map(Some)
    }

    /// Replaces the snapshot, and returns its length. If that fails, the old one stays.
    pub fn save(&self, identity: &Identity, image: &FilterImage) -> io::Result<u64> {
        self.remove_abandoned();
        let temporary =
            self.path.with_extension(format!("{TEMPORARY}{:016x}", rand::random::<u64>()));
        let written = self.write(&temporary, identity, image);
        if written.is_err() {
            // The temporary file may not exist. Only the first error is reported.
            let _ = fs::remove_file(&temporary);
        }
        written
    }

    fn write(&self, temporary: &Path, identity: &Identity, image: &FilterImage) -> io::Result<u64> {
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(temporary)?;
        image.write(identity, &mut file)?;
        // Synced before it is renamed: after a power cut the name leads to the whole file, new or
        // old.
        file.sync_all()?;
        fs::rename(temporary, &self.path)?;
        if let Some(folder) = self.path.parent() {
            File::open(folder)?.sync_all()?;
        }
        Ok(file.metadata()?.len())
    }

    fn remove_abandoned(&self) {
        let (Some(folder), Some(stem)) = (self.path.parent(), self.path.file_stem()) else {
            return;
        };
        let prefix = format!("{}.{TEMPORARY}", stem.display());
        let Ok(entries) = fs::read_dir(folder) else { return };
        for entry in entries.flatten() {
            let age = entry.metadata().and_then(|found| found.modified());
            let age = age.ok().and_then(|time| time.elapsed().ok()).unwrap_or_default();
            if age >= ABANDONED && entry.file_name().display().to_string().starts_with(&prefix) {
                // Another instance may remove it too.
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}
