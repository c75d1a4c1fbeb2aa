//! The key of the cache's footprints, kept on disk beside the snapshots. With it a process can use
//! the aliases that an earlier one has saved: see
//! [`SavedAliases`](aka_core::coherence::SavedAliases).
//!
//! Only the service may read it. Who knows it could make ids up that get each other's answers.

use super::owner;
use aka_core::coherence::CacheKey;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

const NAME: &str = "cache.key";

/// The key in this folder. If there is none, a random one is made and kept. If that fails too, the
/// log says why, and the key is used by this process alone.
pub(super) fn of_folder(folder: Option<&Path>) -> CacheKey {
    let Some(folder) = folder else { return CacheKey::random() };
    load_or_make(folder).unwrap_or_else(|error| {
        let path = folder.join(NAME).display().to_string();
        tracing::warn!(path, %error, "the key of the cache cannot be kept; the next start is colder");
        CacheKey::random()
    })
}

fn load_or_make(folder: &Path) -> io::Result<CacheKey> {
    let path = folder.join(NAME);
    match load(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        loaded => return loaded,
    }
    let temporary = folder.join(format!("{NAME}-{:016x}", rand::random::<u64>()));
    let made = make(&temporary, &path);
    // Its content has its name by now, or is of no use.
    let _ = fs::remove_file(&temporary);
    match made {
        // Another process was first.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => load(&path),
        Err(error) => Err(error),
        Ok(key) => Ok(key),
    }
}

fn load(path: &Path) -> io::Result<CacheKey> {
    // Opening a pipe would block, and a long file fill the memory.
    let found = fs::metadata(path)?;
    let wrong = || io::Error::new(io::ErrorKind::InvalidData, "it is no key; remove it");
    if !found.is_file() || found.len() != 16 {
        return Err(wrong());
    }
    owner::check(&found)?;
    fs::read(path)?.try_into().map(CacheKey).map_err(|_| wrong())
}

/// Writes a new key, and gives it its name once it is whole.
fn make(temporary: &Path, path: &Path) -> io::Result<CacheKey> {
    let key = CacheKey::random();
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(temporary)?;
    file.write_all(&key.0)?;
    file.sync_all()?;
    // A link is made only if there is no such name yet.
    fs::hard_link(temporary, path)?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_key_is_made_once_and_found_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let key = of_folder(Some(folder.path()));
        assert_eq!(of_folder(Some(folder.path())).0, key.0);
        let names: Vec<_> = fs::read_dir(folder.path()).expect("readable").flatten().collect();
        assert_eq!(names.len(), 1);
        let mode = names[0].metadata().expect("metadata").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_ne!(of_folder(None).0, key.0);
    }

    #[test]
    fn what_is_no_key_is_left_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(NAME);
        fs::write(&path, "something else").expect("writable");
        assert_ne!(of_folder(Some(folder.path())).0, of_folder(Some(folder.path())).0);
        assert_eq!(fs::read(&path).expect("readable"), b"something else");
        assert!(load_or_make(&folder.path().join("missing")).is_err());
    }
}
