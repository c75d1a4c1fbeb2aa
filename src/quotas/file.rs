//! The file of limits, and the quotas that it gives.

use super::QuotaKind;
use super::limits::Limits;
use super::table::{QuotaExceeded, QuotaTable};
use crate::metrics::ReloadedPart;
use crate::reload::{LastLook, ReloadedFiles, read_text};
use aka_core::domain::Project;
use parking_lot::RwLock;
use std::fmt;
use std::path::{Path, PathBuf};
use xxhash_rust::xxh3::xxh3_128;

/// Why a file of limits cannot be used, in one sentence.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct LimitsFault(String);

/// The limits of a file, and what the projects have left of them.
pub struct LimitsFile {
    path: PathBuf,
    limits: RwLock<Limits>,
    table: QuotaTable,
    seen: LastLook,
}

impl LimitsFile {
    /// Reads the file.
    ///
    /// # Errors
    /// If it cannot be used.
    pub fn load(path: PathBuf) -> Result<Self, LimitsFault> {
        let text = read(&path)?;
        let limits = RwLock::new(parse(&path, &text)?);
        let seen = LastLook::new(xxh3_128(text.as_bytes()));
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
        let fingerprint = held.as_ref().map(|text| xxh3_128(text.as_bytes()));
        let is_news = self.seen.is_news(fingerprint.map_err(|fault| fault.0.as_str()));
        if !is_news && !asked {
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
    read_text(path, |_| Ok(()))
        .map_err(|error| LimitsFault(format!("{} cannot be read: {error}", path.display())))
}
