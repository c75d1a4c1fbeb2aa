//! Fills the filter from its snapshot on disk, and brings that up to date with the change log.

use super::{Keeper, ask};
use crate::store::StoreError;
use aka_core::coherence::{FilterSource, Replayed, SnapshotFault};
use aka_core::domain::Identity;
use std::io;
use std::time::Instant;

/// Lines of the log that a page holds, at most.
const PAGE: u32 = 2_000;

impl Keeper {
    /// False: there is no snapshot that is of use, the table must be scanned.
    pub(super) async fn restore(&mut self, identity: &Identity) -> Result<bool, StoreError> {
        let Some(disk) = self.disk(identity) else { return Ok(false) };
        let (shard, path) = (self.shard.clone(), disk.path().display().to_string());
        let unfit = |why: &str| {
            tracing::warn!(shard = shard.id.0, path, why, "the saved filter is of no use");
        };
        let (began, owner) = (Instant::now(), identity.clone());
        let loaded = tokio::task::spawn_blocking(move || disk.load(&owner)).await;
        let saved = match loaded.map_err(|error| SnapshotFault::from(io::Error::other(error))) {
            Ok(Ok(Some(saved))) => saved,
            Ok(Ok(None)) => return Ok(false),
            Ok(Err(fault)) | Err(fault) => {
                unfit(&fault.to_string());
                return Ok(false);
            }
        };
        let at = saved.at;
        let Some(mut replay) = shard.memory.begin_replay(saved) else { return Ok(true) };
        loop {
            let asked = Instant::now();
            let (from, connection) = (replay.next(), &mut self.connection);
            let look = ask!(connection, |session| session.read_log(from, PAGE))?;
            // The connection may be a new one. Whoever opened it has checked whose shard it leads to,
            // but not that it owns the same slots.
            if look.identity != *identity {
                connection.close();
                return Ok(true);
            }
            match shard.memory.replay(&mut replay, &look) {
                Replayed::More => {}
                Replayed::Done => {
                    self.saved = Some((at, began));
                    shard.metrics.filter_builds.of(FilterSource::Snapshot).increment(1);
                    let (shard, changes) = (shard.id.0, replay.next() - at.seq);
                    let seconds = began.elapsed().as_secs_f64();
                    tracing::info!(shard, path, changes, seconds, "the saved filter is restored");
                    return Ok(true);
                }
                Replayed::Over => {
                    // It may lead to a replica that lags behind.
                    connection.close();
                    return Ok(true);
                }
                Replayed::Unfit(why) => {
                    unfit(why);
                    return Ok(false);
                }
            }
            // The primary has other things to do: it is asked for half of the time at the most.
            tokio::time::sleep(asked.elapsed()).await;
        }
    }
}
