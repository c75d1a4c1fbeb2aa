//! A file between a database and the reader of our stdout, so that neither waits for the other.

use super::fault::CliFault;
use super::print::to_stdout;
use parking_lot::{Condvar, Mutex};
use rustix::fs::{FallocateFlags, fallocate};
use std::env;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use tokio::sync::oneshot;

/// How much is read back at a time. Its space on disk is freed afterwards.
const CHUNK: usize = 1 << 20;

/// Takes bytes as fast as the disk does. A thread writes them to stdout as fast as its reader
/// reads.
pub(super) struct Spool {
    file: Arc<File>,
    written: u64,
    filled: Arc<Filled>,
    drained: oneshot::Receiver<Result<(), CliFault>>,
}

/// How far the file is filled.
#[derive(Default)]
struct Filled {
    /// The length in bytes, and whether it is final.
    state: Mutex<(u64, bool)>,
    changed: Condvar,
}

impl Spool {
    /// Makes the file and starts the thread.
    pub fn new() -> Result<Self, CliFault> {
        let file = Arc::new(unnamed_file()?);
        let (filled, (end, drained)) = (Arc::<Filled>::default(), oneshot::channel());
        let (source, progress) = (Arc::clone(&file), Arc::clone(&filled));
        thread::Builder::new()
            .name("aka-spool".to_owned())
            .spawn(move || end.send(drain(&source, &progress)))
            .map_err(|source| CliFault::Io { what: "cannot start the writer", source })?;
        Ok(Self { file, written: 0, filled, drained })
    }

    /// Adds bytes to the end.
    ///
    /// # Errors
    /// If the disk is full, or stdout can no longer be written to.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), CliFault> {
        if let Ok(Err(fault)) = self.drained.try_recv() {
            return Err(fault);
        }
        self.file.write_all_at(bytes, self.written).map_err(cannot_spool)?;
        self.written += bytes.len() as u64;
        self.filled.set(self.written, false);
        Ok(())
    }

    /// Waits until all is written to stdout.
    ///
    /// # Errors
    /// If that failed, and `push` has not returned the fault.
    pub async fn finish(self) -> Result<(), CliFault> {
        self.filled.set(self.written, true);
        if self.drained.is_terminated() {
            return Ok(());
        }
        let broken = || io::Error::other("the writer ended early");
        self.drained.await.unwrap_or_else(|_| Err(cannot_spool(broken())))
    }
}

impl Filled {
    fn set(&self, bytes: u64, whole: bool) {
        *self.state.lock() = (bytes, whole);
        self.changed.notify_one();
    }

    /// Waits until there are more than `at` bytes, or the length is final. Returns the length.
    fn beyond(&self, at: u64) -> u64 {
        let mut state = self.state.lock();
        self.changed.wait_while(&mut state, |(bytes, whole)| *bytes <= at && !*whole);
        state.0
    }
}

/// Writes the file to stdout while it is filled.
fn drain(file: &File, filled: &Filled) -> Result<(), CliFault> {
    let (mut chunk, mut at) = (vec![0; CHUNK], 0);
    loop {
        let bytes = filled.beyond(at);
        if bytes <= at {
            return Ok(());
        }
        while at < bytes {
            let length = (bytes - at).min(CHUNK as u64) as usize;
            let part = &mut chunk[..length];
            file.read_exact_at(part, at).map_err(cannot_spool)?;
            to_stdout(part)?;
            at += length as u64;
            // A file system that cannot do this keeps all of the file until the end.
            let _ = fallocate(file, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, 0, at);
        }
    }
}

/// A temporary file without a name: nobody else can open it, and it vanishes with the process,
/// however that ends.
pub(super) fn unnamed_file() -> Result<File, CliFault> {
    tempfile::tempfile_in(folder()).map_err(cannot_spool)
}

/// The folder for temporary files. An empty variable is none.
fn folder() -> PathBuf {
    let named = env::var_os("TMPDIR").filter(|folder| !folder.is_empty());
    named.map_or_else(|| "/tmp".into(), PathBuf::from)
}

pub(super) fn cannot_spool(source: io::Error) -> CliFault {
    CliFault::Io { what: "cannot use a temporary file (TMPDIR names its folder)", source }
}
