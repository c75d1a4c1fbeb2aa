//! The auditor: compares answers that were given from memory, and every change of what is remembered,
//! with the primary.
//!
//! It is there to find what must not be: a wrong answer. It has a bounded queue, a connection and a
//! rate of its own, so it slows no answer; what finds no room is dropped, and counted.

use super::queue::Queue;
use super::sample::Sample;
use super::{Shard, ShardConnection, ask};
use crate::store::{Role, StoreError};
use aka_core::coherence::{Recalled, Verdict};
use aka_core::domain::Loaded;
use aka_core::domain::{Change, ForwardRow, Key, Position};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::{MissedTickBehavior, interval};

/// Keys that may wait to be audited.
const QUEUE: usize = 4_096;

/// Keys that one query asks for, and how soon the next may follow: little, for a database.
const BATCH: usize = 256;
const PAUSE: Duration = Duration::from_millis(100);

/// How long the feed may take to get to what the auditor has read, and how often to ask.
const PATIENCE: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(5);

pub(super) struct Auditor {
    sample: Sample,
    queue: Queue<Key>,
}

impl Auditor {
    /// 0: nothing is audited.
    pub fn new(ratio: f64) -> Self {
        Self { sample: Sample::new(ratio), queue: Queue::new(QUEUE) }
    }
}

impl Shard {
    /// Whether an answer that was just given from memory is to be [audited](Self::audit). Cheap.
    #[inline]
    pub fn samples(&self) -> bool {
        self.auditor.sample.takes()
    }

    /// Has these keys compared with the primary, soon.
    pub fn audit(&self, keys: Vec<Key>) {
        if !keys.is_empty() {
            let refused = self.auditor.queue.push(keys);
            self.metrics.audit_dropped.increment(refused.len() as u64);
        }
    }

    /// The same for changes that the feed has applied, of keys that are remembered.
    pub(super) fn audit_changes(&self, changes: &[Change]) {
        if self.auditor.sample.is_off() {
            return;
        }
        let keys = changes.iter().map(|change| &change.alias);
        self.audit(keys.filter(|key| self.memory.holds(key)).cloned().collect());
    }
}

/// Audits for ever.
pub(super) async fn run(shard: Arc<Shard>) {
    if shard.auditor.sample.is_off() {
        return;
    }
    let mut connection = ShardConnection::new(shard.clone(), Role::Read);
    let mut greatest = Duration::ZERO;
    let mut ticks = interval(PAUSE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let mut keys = shard.auditor.queue.wait(BATCH).await;
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
                // That the shard does not answer others say louder.
                tracing::debug!(shard = shard.id.0, %error, "cannot audit");
                shard.metrics.audit_dropped.increment(keys.len() as u64);
            }
        }
    }
}

/// Compares some keys. Returns how stale memory was seen to be, at the most; `None` if they could not
/// be compared.
async fn audit(
    shard: &Shard,
    connection: &mut ShardConnection,
    keys: &[Key],
) -> Result<Option<Duration>, StoreError> {
    let history = shard.memory.contradictions();
    let loaded = ask!(connection, |session| session.load(keys))?;
    let answered = Instant::now();
    if history != shard.memory.contradictions() {
        // The answer may be of the history that was given up: no word on the one that began.
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
                tell(shard, key, &recalled, row, &loaded, cursor, &footprint.to_string());
            }
        }
    }
    Ok(staleness)
}

/// How long memory has been behind the primary, as far as the row can tell. That is no fault yet: the
/// feed may be on its way.
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

/// The age of the change that an entry has missed. A row that is gone does not say when it went.
fn missed(recalled: &Recalled, row: Option<&ForwardRow>, loaded: &Loaded) -> Duration {
    let newer = row.filter(|row| row.version > recalled.as_of);
    newer.map_or(Duration::ZERO, |row| loaded.now.since(row.updated))
}

/// Waits until the feed has applied what was read. False if it does not, or follows another history.
async fn feed_reaches(shard: &Shard, at: Position) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        match shard.memory.caught_up(at) {
            Some(true) => return true,
            Some(false) => tokio::time::sleep(POLL).await,
            None => return false,
        }
    }
    false
}

/// Logs a wrong answer with what is needed to find out how it came about.
///
/// Ids are personal data, and logs go to more places than the databases do: they are logged only at
/// the level of debugging, by whoever turns it on to hunt such a case. Nor is a plain hash of them: who
/// has a list of e-mail addresses can undo it. The slot, the seqs and the random name that the key has
/// in this process lead to the row and its lines in the change log.
fn tell(
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
