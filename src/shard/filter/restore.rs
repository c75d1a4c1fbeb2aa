//! Fills the filter from its snapshot on disk, and applies the changes that were logged since. The
//! aliases in the snapshot fill the cache.

use super::super::connection::{ShardConnection, ask};
use super::super::state::Shard;
use super::disk::Disk;
use crate::store::StoreError;
use aka_core::coherence::{
    FillSaved, FilterSource, Replayed, SavedAliases, SavedFilter, SnapshotFault,
};
use aka_core::domain::{Identity, Position};
use std::io;
use std::time::{Duration, Instant};

/// Aliases that are filled into the cache before other tasks have their turn.
const TURN: usize = 1_000;

/// The pause before the feed is looked at again.
const FEED_PAUSE: Duration = Duration::from_millis(2);

/// Lines of the log that a page holds, at most.
const PAGE: u32 = 2_000;

/// How an attempt to restore the filter ended.
pub(super) enum Restored {
    /// The filter is filled, from a snapshot of this position. The aliases are to be filled into
    /// the cache.
    From(Position, SavedAliases),
    /// There is no snapshot of use: the table must be scanned.
    Unfit,
    /// The state of the shard or of memory changed meanwhile. A later attempt may succeed.
    GivenUp,
}

pub(super) async fn restore(
    connection: &mut ShardConnection,
    disk: Disk,
    identity: &Identity,
) -> Result<Restored, StoreError> {
    let (shard, path) = (connection.shard.clone(), disk.path().display().to_string());
    let unfit = |why: &str| {
        tracing::warn!(shard = shard.id.0, path, why, "the saved filter is of no use");
        Ok(Restored::Unfit)
    };
    let began = Instant::now();
    let saved = match load(disk, identity.clone()).await {
        Ok(Some(saved)) => saved,
        Ok(None) => return Ok(Restored::Unfit),
        Err(fault) => return unfit(&fault.to_string()),
    };
    let at = saved.at;
    let Some(mut replay) = shard.memory.begin_replay(saved) else { return Ok(Restored::GivenUp) };
    loop {
        let (asked, from) = (Instant::now(), replay.next());
        let page = ask!(&mut *connection, |session| session.read_log(from, PAGE))?;
        // The connection may be a new one. Its shard was checked when it opened, but the shard may
        // own other slots now.
        if page.identity != *identity {
            connection.close();
            return Ok(Restored::GivenUp);
        }
        match shard.memory.replay(&mut replay, &page) {
            Replayed::More => {}
            Replayed::Done => {
                shard.metrics.filter_builds.of(FilterSource::Snapshot).increment(1);
                let (shard, changes) = (shard.id.0, replay.next() - at.seq);
                let seconds = began.elapsed().as_secs_f64();
                tracing::info!(shard, path, changes, seconds, "the saved filter is restored");
                return Ok(Restored::From(at, replay.into_aliases()));
            }
            Replayed::Over => {
                // The connection may lead to a replica that lags behind.
                connection.close();
                return Ok(Restored::GivenUp);
            }
            Replayed::Unfit(why) => return unfit(why),
        }
        // Half of the time at most is spent on queries: the primary has other work.
        tokio::time::sleep(asked.elapsed()).await;
    }
}

/// Fills the cache with the aliases that an earlier process has saved.
pub(super) async fn fill(shard: &Shard, mut aliases: SavedAliases) {
    let (began, mut cached) = (Instant::now(), 0);
    loop {
        match shard.memory.fill_saved(&mut aliases, TURN) {
            FillSaved::Filled(filled) => {
                cached += filled;
                tokio::task::yield_now().await;
            }
            FillSaved::Waits => tokio::time::sleep(FEED_PAUSE).await,
            FillSaved::Over => break,
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    tracing::info!(shard = shard.id.0, cached, seconds, "the cache is filled from the snapshot");
}

async fn load(disk: Disk, identity: Identity) -> Result<Option<SavedFilter>, SnapshotFault> {
    let loaded = tokio::task::spawn_blocking(move || disk.load(&identity)).await;
    loaded.unwrap_or_else(|error| Err(io::Error::other(error).into()))
}
