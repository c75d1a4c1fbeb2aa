//! The auditor: compares a sample of the answers from memory, and every change of a remembered key,
//! with the primary.
//!
//! A wrong answer is a fault of aka, or of somebody who changed rows past it. The auditor has a
//! bounded backlog, a connection and a rate of its own, so it slows no answer. Keys that find no
//! room are dropped and counted.

use super::connection::{ShardConnection, ask};
use super::state::Shard;
use crate::store::{Role, StoreError};
use aka_core::coherence::{Recalled, Verdict};
use aka_core::domain::{Change, ForwardRow, Key, Loaded, Position};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::{MissedTickBehavior, interval};

/// Keys of one query, and the pause until the next: little work for a database.
const BATCH: usize = 256;
const PAUSE: Duration = Duration::from_millis(100);

/// How long the feed may take to apply the position that was read, and how often to check.
const PATIENCE: Duration = Duration::from_secs(5);
const RECHECK: Duration = Duration::from_millis(5);

impl Shard {
    /// Whether to [audit](Self::audit) an answer that memory has just given. It costs a branch and
    /// a counter.
    #[inline]
    pub fn samples(&self) -> bool {
        self.audit_sample.picks_next()
    }

    /// Gives keys to the auditor.
    pub fn audit(&self, keys: Vec<Key>) {
        if !keys.is_empty() {
            let refused = self.audit_backlog.push(keys);
            self.metrics.audit_dropped.increment(refused.len() as u64);
        }
    }

    /// Gives the remembered keys among these changes to the auditor. The feed has applied them.
    pub(super) fn audit_changes(&self, changes: &[Change]) {
        if self.audit_sample.is_off() {
            return;
        }
        let keys = changes.iter().map(|change| &change.alias);
        self.audit(keys.filter(|key| self.memory.holds(key)).cloned().collect());
    }
}

/// Audits without end.
pub(super) async fn run(shard: Arc<Shard>) {
    if shard.audit_sample.is_off() {
        return;
    }
    let mut connection = ShardConnection::new(shard.clone(), Role::Read);
    let mut greatest = Duration::ZERO;
    let mut ticks = interval(PAUSE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let most = if connection.is_open() { connection.most_keys() } else { 1 };
        let mut keys = shard.audit_backlog.wait(most.min(BATCH)).await;
        keys.sort_unstable();
        keys.dedup();
        keys.retain(|key| shard.memory.holds(key));
        if keys.is_empty() {
            continue;
        }
        match audit(&shard, &mut connection, &keys).await {
            Ok(Some(staleness)) => {
                greatest = greatest.max(staleness);
                shard.metrics.audit_staleness_seconds.set(greatest.as_secs_f64());
            }
            Ok(None) => shard.metrics.audit_dropped.increment(keys.len() as u64),
            Err(error) => {
                // Only at the debug level: the feed and the lanes warn that the shard fails.
                tracing::debug!(shard = shard.id.0, %error, "cannot audit");
                shard.metrics.audit_dropped.increment(keys.len() as u64);
            }
        }
    }
}

/// Compares some keys. Returns the greatest staleness of memory that was seen, or `None` if the
/// keys could not be compared.
async fn audit(
    shard: &Shard,
    connection: &mut ShardConnection,
    keys: &[Key],
) -> Result<Option<Duration>, StoreError> {
    let history = shard.memory.contradictions();
    let loaded = ask!(connection, |session| session.load(keys))?;
    let answered = Instant::now();
    let is_proven = shard.is_proven(&loaded.claim, loaded.now);
    if history != shard.memory.contradictions() || !is_proven {
        // The answer may belong to a history that was given up meanwhile, or to a former primary.
        return Ok(None);
    }
    let mut staleness = keys.iter().map(|key| behind(shard, key, &loaded)).max();
    if !feed_reaches(shard, loaded.at).await {
        return Ok(None);
    }
    for key in keys {
        let row = loaded.rows.get(key);
        let primary = row.map(|row| row.canonical.as_bytes());
        match shard.memory.judge(key, loaded.at, primary) {
            Verdict::Right => shard.metrics.audit_checked.increment(1),
            Verdict::Gone => {}
            Verdict::Wrong { recalled, footprint, cursor } => {
                shard.metrics.audit_checked.increment(1);
                shard.metrics.audit_wrong.increment(1);
                let known = missed(&recalled, row, &loaded) + answered.elapsed();
                staleness = staleness.max(Some(known));
                log_wrong(shard, key, &recalled, row, &loaded, cursor, &footprint.to_string());
            }
        }
    }
    Ok(staleness)
}

/// How long memory has been behind the primary, as far as the row's last change shows. Being behind
/// is allowed, because the feed may not have applied the change yet.
fn behind(shard: &Shard, key: &Key, loaded: &Loaded) -> Duration {
    let row = loaded.rows.get(key);
    let primary = row.map(|row| row.canonical.as_bytes());
    match shard.memory.recall(key) {
        Some(recalled)
            if recalled.as_of <= loaded.at.seq && recalled.canonical.as_deref() != primary =>
        {
            missed(&recalled, row, loaded)
        }
        _ => Duration::ZERO,
    }
}

/// The age of the change that an entry has missed. It is unknown if the row was deleted.
fn missed(recalled: &Recalled, row: Option<&ForwardRow>, loaded: &Loaded) -> Duration {
    let newer = row.filter(|row| row.version > recalled.as_of);
    newer.map_or(Duration::ZERO, |row| loaded.now.since(row.updated))
}

/// Waits until the feed has applied the position that was read. Returns false if that takes too
/// long, or if it follows another history.
async fn feed_reaches(shard: &Shard, at: Position) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        match shard.memory.caught_up(at) {
            Some(true) => return true,
            Some(false) => tokio::time::sleep(RECHECK).await,
            None => return false,
        }
    }
    false
}

/// Logs a wrong answer with all that helps to find its cause.
///
/// Ids are personal data, and logs are copied to more places than databases are. So ids are logged
/// at the debug level only. A plain hash of an id is not logged either, because a list of e-mail
/// addresses undoes it. The slot, the seqs and the footprint lead to the row and its lines in the
/// change log.
fn log_wrong(
    shard: &Shard,
    key: &Key,
    recalled: &Recalled,
    row: Option<&ForwardRow>,
    loaded: &Loaded,
    cursor: Option<Position>,
    footprint: &str,
) {
    let kind = |is_alias: bool| if is_alias { "an alias" } else { "no alias" };
    tracing::error!(
        shard = shard.id.0,
        project = key.project().get(),
        slot = key.slot().get(),
        key = footprint,
        memory = kind(recalled.canonical.is_some()),
        as_of = recalled.as_of,
        epoch = recalled.epoch,
        primary = kind(row.is_some()),
        version = row.map(|row| row.version),
        read_at_seq = loaded.at.seq,
        read_at_nonce = loaded.at.nonce,
        cursor_seq = cursor.map(|at| at.seq),
        cursor_nonce = cursor.map(|at| at.nonce),
        "memory was wrong; the entry is dropped"
    );
    tracing::debug!(
        shard = shard.id.0,
        key = footprint,
        id = ?key.id(),
        memory = ?recalled.canonical,
        primary = ?row.map(|row| &row.canonical),
        "the ids of an entry that was wrong"
    );
}
