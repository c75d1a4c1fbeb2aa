//! The file that a shard's filter is kept in.
//!
//! It holds no secret, but who reads it can try whether an id is an alias: nobody but the service may.

use aka_core::coherence::{FilterImage, SavedFilter, SnapshotFault};
use aka_core::domain::Identity;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A file of this age that was not given its name was left by a process that died.
const ABANDONED: Duration = Duration::from_secs(3_600);

/// How the extension of a file begins that is not whole yet.
const UNNAMED: &str = "filter-";

pub(super) struct Disk {
    path: PathBuf,
}

impl Disk {
    /// By whose it is: clusters, and instances of one, may share a folder. Each file is whole, whoever
    /// wrote it.
    pub fn new(folder: &Path, identity: &Identity) -> Self {
        let name = format!("{}-{}.filter", identity.cluster, identity.shard);
        Self { path: folder.join(name) }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What was saved; `None` if nothing was.
    pub fn load(&self, identity: &Identity) -> Result<Option<SavedFilter>, SnapshotFault> {
        match fs::metadata(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
            // A pipe would be waited for.
            Ok(found) if !found.is_file() => return Err(SnapshotFault::Unknown),
            Ok(_) => {}
        }
        let file = File::open(&self.path)?;
        let length = file.metadata()?.len();
        SavedFilter::read(identity, length, &mut BufReader::new(file)).map(Some)
    }

    /// Writes a snapshot in place of the last one, or leaves that as it was; how long it is.
    pub fn save(&self, identity: &Identity, image: &FilterImage) -> io::Result<u64> {
        self.remove_abandoned();
        let unnamed = self.path.with_extension(format!("{UNNAMED}{:016x}", rand::random::<u64>()));
        let written = self.write(&unnamed, identity, image);
        if written.is_err() {
            // It is told of already, and may not be there.
            let _ = fs::remove_file(&unnamed);
        }
        written
    }

    fn write(&self, unnamed: &Path, identity: &Identity, image: &FilterImage) -> io::Result<u64> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(unnamed)?;
        image.write(identity, &mut file)?;
        // The bytes before the name: after a power cut the name leads to all of them, or to the last ones.
        file.sync_all()?;
        fs::rename(unnamed, &self.path)?;
        if let Some(folder) = self.path.parent() {
            File::open(folder)?.sync_all()?;
        }
        Ok(file.metadata()?.len())
    }

    fn remove_abandoned(&self) {
        let (Some(folder), Some(stem)) = (self.path.parent(), self.path.file_stem()) else {
            return;
        };
        let prefix = format!("{}.{UNNAMED}", stem.display());
        let Ok(entries) = fs::read_dir(folder) else { return };
        for entry in entries.flatten() {
            let age = entry.metadata().and_then(|found| found.modified());
            let age = age.ok().and_then(|time| time.elapsed().ok()).unwrap_or_default();
            if age >= ABANDONED && entry.file_name().display().to_string().starts_with(&prefix) {
                // Others may remove it, too.
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}
