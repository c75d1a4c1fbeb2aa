//! Keeps the filter of a shard: fills it from a snapshot on disk or by a scan, fills another when
//! it is worn, and saves snapshots. Meanwhile the service goes on with the last filter, or without
//! one.

mod disk;
mod restore;
mod scan;

use super::connection::ShardConnection;
use super::state::Shard;
use crate::hooks;
use crate::store::{Role, StoreError};
use aka_core::domain::{Identity, Position};
use disk::Disk;
use restore::Restored;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// The pause between two checks whether there is something to do.
const PAUSE: Duration = Duration::from_millis(250);

/// The same at the start, until the feed has a cursor: the instance is not ready before.
const FIRST_PAUSE: Duration = Duration::from_millis(5);

/// The longest pause after failed attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// A snapshot is written this long after the last one if a hundredth of the filter has changed.
const SAVE_PAUSE: Duration = Duration::from_secs(300);

/// A snapshot is written this long after the last one in any case. With a retention below four times
/// this, a quarter of the retention counts.
const LONGEST_SAVE_PAUSE: Duration = Duration::from_secs(3_600);

/// Keeps a filter until `stop` is cancelled, and then saves it.
pub(super) async fn run(shard: Arc<Shard>, stop: CancellationToken) {
    if !shard.settings.filter {
        return;
    }
    let connection = ShardConnection::new(shard.clone(), Role::Read);
    let mut keeper = Keeper { shard, connection, identity: None, saved: None };
    tokio::select! {
        () = stop.cancelled() => {}
        () = keeper.keep() => {}
    }
    // Changes that are not saved now must be read from the log, or the table, at the next start. What
    // was asked for lately may have changed, even if no alias has.
    keeper.save(|_, _| true).await;
}

/// The state of the task.
struct Keeper {
    shard: Arc<Shard>,
    connection: ShardConnection,
    /// The shard's identity when the filter was filled.
    identity: Option<Identity>,
    /// The position of the snapshot on disk, and when it was written. `None`: there is none, or it
    /// is of an older filter.
    saved: Option<(Position, Instant)>,
}

impl Keeper {
    async fn keep(&mut self) {
        while self.shard.memory.cursor().is_none() {
            tokio::time::sleep(FIRST_PAUSE).await;
        }
        let (mut pause, mut after_failure) = (Duration::ZERO, PAUSE);
        loop {
            tokio::time::sleep(std::mem::replace(&mut pause, PAUSE)).await;
            let memory = &self.shard.memory;
            if memory.filter_waits() {
                continue;
            }
            if !memory.wants_filter() {
                self.save_if_due().await;
                continue;
            }
            match self.fill().await {
                Ok(()) => after_failure = PAUSE,
                Err(error) => {
                    tracing::warn!(shard = self.shard.id.0, %error, "the filter is begun anew");
                    after_failure = (2 * after_failure).min(LONGEST_PAUSE);
                    pause = after_failure;
                }
            }
        }
    }

    async fn fill(&mut self) -> Result<(), StoreError> {
        if self.shard.memory.cursor().is_none() {
            return Ok(());
        }
        let identity = self.connection.open().await?.identity().clone();
        self.identity = Some(identity.clone());
        // If the filter is worn, its snapshot is worn too, and a scan is needed.
        let disk = self.disk(&identity).filter(|_| self.shard.memory.filter().is_none());
        if let Some(disk) = disk {
            self.shard.restores.store(true, Ordering::Release);
            let ended = self.restore(disk, &identity).await;
            self.shard.restores.store(false, Ordering::Release);
            if ended? {
                return Ok(());
            }
        }
        if scan::scan(&mut self.connection, &identity.slots).await? {
            self.saved = None;
        }
        Ok(())
    }

    /// False if there is no snapshot of use: the table must be scanned.
    async fn restore(&mut self, disk: Disk, identity: &Identity) -> Result<bool, StoreError> {
        let began = Instant::now();
        match restore::restore(&mut self.connection, disk, identity).await? {
            Restored::From(at, aliases) => {
                self.saved = Some((at, began));
                restore::fill(&self.shard, aliases).await;
                Ok(true)
            }
            Restored::GivenUp => Ok(true),
            Restored::Unfit => Ok(false),
        }
    }

    /// Where the filter of a shard is saved.
    fn disk(&self, identity: &Identity) -> Option<Disk> {
        let folder = self.shard.settings.filter_dir.as_deref()?;
        Some(Disk::new(folder, identity))
    }

    async fn save_if_due(&mut self) {
        let retention = self.shard.settings.retention;
        let kept = if retention.is_zero() { Duration::MAX } else { retention };
        let longest = LONGEST_SAVE_PAUSE.min(kept / 4);
        let shortest = hooks::shortened("AKA_FILTER_SAVE_MS", SAVE_PAUSE).min(longest);
        let keys = self.shard.memory.filter().map_or(0, |filter| filter.len());
        self.save(|changes, age| {
            age >= longest
                || (age >= shortest && changes > 0 && changes.saturating_mul(100) >= keys)
        })
        .await;
    }

    /// Writes a snapshot if the filter has none, or if `is_due` says so. `is_due` is given the number
    /// of changes since the last snapshot, and the time.
    async fn save(&mut self, is_due: impl Fn(u64, Duration) -> bool) {
        let Some(image) = self.shard.memory.filter_image() else { return };
        let due = self.saved.is_none_or(|(last, written)| {
            is_due(image.at.seq.abs_diff(last.seq), written.elapsed())
        });
        let Some(identity) = self.identity.clone().filter(|_| due) else { return };
        let Some(disk) = self.disk(&identity) else { return };
        let (at, path) = (image.at, disk.path().display().to_string());
        let written = tokio::task::spawn_blocking(move || disk.save(&identity, &image)).await;
        let shard = self.shard.id.0;
        match written.map_err(std::io::Error::other).flatten() {
            Ok(bytes) => {
                self.shard.metrics.filters_saved.increment(1);
                tracing::debug!(shard, path, seq = at.seq, bytes, "the filter is saved");
            }
            Err(error) => {
                self.shard.metrics.filter_save_errors.increment(1);
                tracing::warn!(shard, path, %error, "the filter cannot be saved");
            }
        }
        // After a failure too: the next attempt is made when the next snapshot is due.
        self.saved = Some((at, Instant::now()));
    }
}
