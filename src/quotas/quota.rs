//! What the rest of the service asks.

use super::QuotaKind;
use super::file::LimitsFile;
use super::table::QuotaExceeded;
use aka_core::domain::Project;
use metrics::Counter;
use std::sync::Arc;

/// The quotas of all projects on this instance. Clones are the same.
#[derive(Clone)]
pub struct Quotas {
    file: Option<Arc<LimitsFile>>,
    refused: Counter,
}

impl Quotas {
    /// The quotas that a file gives. `None`: there are none. The counter gets the refusals.
    pub fn new(file: Option<Arc<LimitsFile>>, refused: Counter) -> Self {
        Self { file, refused }
    }

    /// There are none.
    pub fn none() -> Self {
        Self::new(None, Counter::noop())
    }

    /// Takes so many ids from the quota of a project, all or none.
    ///
    /// # Errors
    /// If there are not so many.
    #[inline]
    pub fn take(&self, project: Project, kind: QuotaKind, ids: usize) -> Result<(), QuotaExceeded> {
        let Some(file) = &self.file else { return Ok(()) };
        file.take(project, kind, ids).inspect_err(|_| self.refused.increment(1))
    }
}
