//! The file of limits, and the quotas that it gives.

use super::QuotaKind;
use super::limits::Limits;
use super::table::{QuotaExceeded, QuotaTable};
use crate::metrics::ReloadedPart;
use crate::reload::ReloadedFiles;
use aka_core::domain::Project;
use parking_lot::{Mutex, RwLock};
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use xxhash_rust::xxh3::xxh3_128;

/// The longest file in bytes.
const LONGEST: u64 = 4 << 20;

/// Why a file of limits cannot be used, in one sentence.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct LimitsFault(String);

/// The limits of a file, and what the projects have left of them.
pub struct LimitsFile {
    path: PathBuf,
    limits: RwLock<Limits>,
    table: QuotaTable,
    /// The fingerprint of what the file held when it was last looked at, good or bad.
    seen: Mutex<u128>,
}

impl LimitsFile {
    /// Reads the file.
    ///
    /// # Errors
    /// If it cannot be used.
    pub fn load(path: PathBuf) -> Result<Self, LimitsFault> {
        let text = read(&path)?;
        let limits = RwLock::new(parse(&path, &text)?);
        let seen = Mutex::new(xxh3_128(text.as_bytes()));
        Ok(Self { path, limits, table: QuotaTable::default(), seen })
    }

    /// Takes so many ids from the quota of a project, all or none.
    ///
    /// # Errors
    /// If there are not so many.
    pub fn take(&self, project: Project, kind: QuotaKind, ids: usize) -> Result<(), QuotaExceeded> {
        let rate = self.limits.read().of(project).of(kind);
        match rate {
            Some(rate) => self.table.take(project, kind, ids, rate),
            None => Ok(()),
        }
    }
}

impl ReloadedFiles for LimitsFile {
    fn part(&self) -> ReloadedPart {
        ReloadedPart::Limits
    }

    fn look(&self, asked: bool) -> Option<Result<(), String>> {
        let held = read(&self.path);
        let fingerprint = match &held {
            Ok(text) => xxh3_128(text.as_bytes()),
            // So that what is wrong is said once, and not at every look.
            Err(fault) => xxh3_128(fault.0.as_bytes()),
        };
        let seen = std::mem::replace(&mut *self.seen.lock(), fingerprint);
        if seen == fingerprint && !asked {
            return None;
        }
        let parsed = held.and_then(|text| parse(&self.path, &text));
        Some(parsed.map_err(|fault| fault.0).map(|limits| {
            let mut current = self.limits.write();
            if *current != limits {
                *current = limits;
                self.table.refill();
            }
        }))
    }
}

/// Shows where it is: it is shown with the configuration.
impl fmt::Debug for LimitsFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path.fmt(f)
    }
}

fn parse(path: &Path, text: &str) -> Result<Limits, LimitsFault> {
    Limits::parse(text)
        .map_err(|fault| LimitsFault(format!("{} cannot be used: {fault}", path.display())))
}

fn read(path: &Path) -> Result<String, LimitsFault> {
    let open = || {
        let mut text = String::new();
        File::open(path)?.take(LONGEST + 1).read_to_string(&mut text)?;
        match text.len() as u64 {
            0..=LONGEST => Ok(text),
            _ => Err(io::Error::other(format!("it is longer than {} MiB", LONGEST >> 20))),
        }
    };
    open().map_err(|error| LimitsFault(format!("{} cannot be read: {error}", path.display())))
}
