//! Reads files again while the service runs: certificates, principals, limits, the audit log.

use crate::hooks;
use crate::metrics::{Metrics, ReloadResult, ReloadedPart, Reloads};
use parking_lot::Mutex;
use std::fmt;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use xxhash_rust::xxh3::xxh3_128;

/// How often the files are looked at. Their contents tell, so no link and no file system hides a
/// change.
const LOOK: Duration = Duration::from_secs(10);

/// Files that are read again.
pub trait ReloadedFiles: Send + Sync {
    /// What they are, as metrics and the log name it.
    fn part(&self) -> ReloadedPart;

    /// Looks at the files, and uses them if they hold something else than at the last look, or if
    /// somebody has `asked` for that. `None`: they hold the same. Otherwise what came of it; after an
    /// error, what was read before stays. This may block for a moment.
    fn look(&self, asked: bool) -> Option<Result<(), String>>;

    /// Shows in the metrics what is used.
    fn show(&self, _metrics: &Metrics) {}
}

/// What files held when they were last looked at, good or bad, as a fingerprint.
pub struct LastLook(Mutex<u128>);

impl LastLook {
    /// They hold this now.
    pub fn new(fingerprint: u128) -> Self {
        Self(Mutex::new(fingerprint))
    }

    /// Whether they hold something else than at the last look, or cannot be read for another reason.
    /// So what is wrong is said once, and not at every look.
    pub fn is_news(&self, held: Result<u128, &str>) -> bool {
        let fingerprint = held.unwrap_or_else(|fault| xxh3_128(fault.as_bytes()));
        std::mem::replace(&mut *self.0.lock(), fingerprint) != fingerprint
    }
}

/// The longest text file that is read, in bytes.
const LONGEST_TEXT: u64 = 4 << 20;

/// The text of a file. `check` may refuse it by the metadata of the file that is open: the path may
/// lead to another one a moment later.
///
/// # Errors
/// If it cannot be read, is refused, or is too long.
pub fn read_text(
    path: &Path,
    check: impl FnOnce(&Metadata) -> io::Result<()>,
) -> io::Result<String> {
    let file = File::open(path)?;
    check(&file.metadata()?)?;
    let mut text = String::new();
    file.take(LONGEST_TEXT + 1).read_to_string(&mut text)?;
    match text.len() as u64 {
        0..=LONGEST_TEXT => Ok(text),
        _ => Err(io::Error::other(format!("it is longer than {} MiB", LONGEST_TEXT >> 20))),
    }
}

/// Looks at all files that may change. Clones are the same.
#[derive(Clone, Default)]
pub struct FileFollower {
    files: Vec<Arc<dyn ReloadedFiles>>,
    asked: Arc<Notify>,
}

/// Shows no more than that it is there: the settings name the files.
impl fmt::Debug for FileFollower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} parts", self.files.len())
    }
}

impl FileFollower {
    pub fn new(files: Vec<Arc<dyn ReloadedFiles>>) -> Self {
        Self { files, asked: Arc::default() }
    }

    /// Has the files read again, also if they hold the same as before.
    pub fn read_again(&self) {
        self.asked.notify_one();
    }

    /// Looks at the files for ever. Returns at once if there are none.
    pub async fn follow(self, metrics: Arc<Metrics>) {
        let pause = hooks::shortened("AKA_FILES_LOOK_MS", LOOK);
        while !self.files.is_empty() {
            for files in &self.files {
                files.show(&metrics);
            }
            let asked = tokio::select! {
                () = self.asked.notified() => true,
                () = tokio::time::sleep(pause) => false,
            };
            for files in &self.files {
                look(files, asked, &metrics).await;
            }
        }
    }
}

/// Looks at the files of one part. If they cannot be used, what was read before stays.
async fn look(files: &Arc<dyn ReloadedFiles>, asked: bool, metrics: &Metrics) {
    let (part, looked_at) = (files.part(), files.clone());
    // A file may be on a slow disk.
    let looked = tokio::task::spawn_blocking(move || looked_at.look(asked)).await;
    let what = Reloads::label(part);
    let result = match looked {
        Ok(None) => return,
        Ok(Some(Ok(()))) => {
            tracing::info!(what, "files were read again, and are used from now on");
            ReloadResult::Ok
        }
        Ok(Some(Err(error))) => {
            tracing::warn!(what, %error, "files cannot be used: the old ones stay");
            ReloadResult::Failed
        }
        Err(error) => {
            tracing::warn!(what, %error, "files cannot be read: the old ones stay");
            ReloadResult::Failed
        }
    };
    metrics.reloads.of(part).of(result).increment(1);
}
