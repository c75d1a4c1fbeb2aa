//! The file of principals, and what it held when it was last good.

use super::fault::AuthFault;
use super::principal::Principal;
use super::principals::{Credential, Principals};
use crate::metrics::ReloadedPart;
use crate::reload::{LastLook, ReloadedFiles, read_text};
use parking_lot::RwLock;
use std::fmt;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use xxhash_rust::xxh3::xxh3_128;

/// The principals of a file. They are replaced while connections are open.
pub struct AuthFile {
    path: PathBuf,
    current: RwLock<Arc<Generation>>,
    /// The number of the current generation, to be compared without a lock.
    generation: AtomicU64,
    seen: LastLook,
}

/// What the file held from one change to the next.
struct Generation {
    number: u64,
    principals: Principals,
}

impl AuthFile {
    /// Reads the file.
    ///
    /// # Errors
    /// If it cannot be used.
    pub fn load(path: PathBuf) -> Result<Self, AuthFault> {
        let text = read(&path)?;
        let principals = parse(&path, &text)?;
        let current = RwLock::new(Arc::new(Generation { number: 0, principals }));
        let seen = LastLook::new(xxh3_128(text.as_bytes()));
        Ok(Self { path, current, generation: AtomicU64::new(0), seen })
    }

    /// Changes whenever the principals are replaced.
    #[inline]
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Who has this credential, and in which generation.
    pub fn find(&self, credential: &Credential) -> (Option<Arc<Principal>>, u64) {
        let current = self.current.read().clone();
        (current.principals.find(credential).cloned(), current.number)
    }
}

impl ReloadedFiles for AuthFile {
    fn part(&self) -> ReloadedPart {
        ReloadedPart::Auth
    }

    fn look(&self, asked: bool) -> Option<Result<(), String>> {
        let held = read(&self.path);
        let fingerprint = held.as_ref().map(|text| xxh3_128(text.as_bytes()));
        let is_news = self.seen.is_news(fingerprint.map_err(|fault| fault.0.as_str()));
        if !is_news && !asked {
            return None;
        }
        let parsed = held.and_then(|text| parse(&self.path, &text));
        Some(parsed.map_err(|fault| fault.0).map(|principals| {
            let mut current = self.current.write();
            let number = current.number + 1;
            *current = Arc::new(Generation { number, principals });
            self.generation.store(number, Ordering::Release);
        }))
    }
}

/// Shows where it is: it is shown with the configuration.
impl fmt::Debug for AuthFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path.fmt(f)
    }
}

/// Reads and parses a file of principals, for people who want to know whether it is good.
///
/// # Errors
/// If it cannot be used.
pub fn read_principals(path: &Path) -> Result<Principals, AuthFault> {
    parse(path, &read(path)?)
}

fn parse(path: &Path, text: &str) -> Result<Principals, AuthFault> {
    Principals::parse(text)
        .map_err(|fault| AuthFault(format!("{} cannot be used: {fault}", path.display())))
}

fn read(path: &Path) -> Result<String, AuthFault> {
    let text = read_text(path, |metadata| match metadata.mode() & 0o777 {
        mode if mode & 0o022 != 0 => Err(io::Error::other(format!(
            "others than its owner may change it (mode {mode:03o}): take that away, as chmod go-w does"
        ))),
        _ => Ok(()),
    });
    text.map_err(|error| AuthFault(format!("{} cannot be read: {error}", path.display())))
}
