//! The path of a read: validate, find the slot, look into memory, else wait for a load.

mod aliases;

pub use aliases::Aliases;

use crate::metrics::{LookupResult, Lookups, Metrics};
use crate::shard::{Cluster, Shard};
use aka_core::clock::Boottime;
use aka_core::coherence::{
    Footprint, Found, Gather, Lookup, LookupFailure, Need, Outcome, Reading,
};
use aka_core::domain::{self, Id, IdHash, Key, MalformedToken, Placeholders, Project, Token};
use bytes::Bytes;
use smallvec::SmallVec;
use std::cell::OnceCell;
use std::collections::HashMap;
use std::sync::Arc;

/// Ids that one batch may hold.
pub const MAX_BATCH: usize = 10_000;

/// Ids after which the others of the thread have their turn: a fraction of a millisecond.
const TURN: usize = 1_000;

/// Ids whose ways to the machine's memory are gone together: more than a core has on its way at once,
/// and few enough that what was brought is still there when it is looked at.
const GROUP: usize = 32;

/// Answers reads. One for the service; cheap to share.
pub struct Resolver {
    cluster: Arc<Cluster>,
    placeholders: Placeholders,
    metrics: Arc<Metrics>,
}

/// When a read arrived, and until when it is worth an answer.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    pub arrived: Boottime,
    pub until: Boottime,
}

/// What a whole read is refused for. Never for an id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadRefusal {
    #[error("project_id is 0 or above 2^63 - 1")]
    Project,
    #[error("{0} ids are more than the {MAX_BATCH} that a batch may hold")]
    TooMany(usize),
    #[error("consistency_token {0}")]
    Token(#[from] MalformedToken),
}

/// The answer to a batch: what is in neither list resolves to itself.
#[derive(Debug, Default)]
pub struct Resolution {
    /// Ids that are aliases.
    pub aliases: Aliases,
    /// Ids that could not be found out about, by index, sorted.
    pub failures: Vec<(u32, LookupFailure)>,
    pub degraded: bool,
}

/// A key that memory did not answer, and where its answer belongs.
struct Miss {
    index: u32,
    key: Key,
}

impl Resolver {
    pub fn new(cluster: Arc<Cluster>, placeholders: Placeholders, metrics: Arc<Metrics>) -> Self {
        Self { cluster, placeholders, metrics }
    }

    /// Resolves the ids of one request, together. The answer comes by the deadline; what is not
    /// known by then is a failure of its own.
    ///
    /// # Errors
    /// Only for what is wrong with the request as a whole.
    pub async fn resolve<'a>(
        &self,
        project_id: u64,
        ids: impl ExactSizeIterator<Item = &'a [u8]> + Send,
        token: &str,
        deadline: Deadline,
    ) -> Result<Resolution, ReadRefusal> {
        let project = Project::new(project_id).ok_or(ReadRefusal::Project)?;
        let count = ids.len();
        if count > MAX_BATCH {
            return Err(ReadRefusal::TooMany(count));
        }
        let token = Token::parse(token, self.cluster.id)?;
        let read = Read { resolver: self, project, token: token.as_ref(), deadline };
        let mut resolution = Resolution::default();
        let mut misses = Vec::new();
        let mut ids = ids.enumerate();
        loop {
            read.remember(ids.by_ref().take(TURN), &mut resolution, &mut misses);
            if ids.len() == 0 {
                break;
            }
            tokio::task::yield_now().await;
        }
        if !misses.is_empty() {
            // Boxed: most requests have no misses, and should not carry the room for waiting.
            Box::pin(read.load(misses, &mut resolution)).await;
            // Duplicates and misses come in any order; a client may count on theirs.
            resolution.aliases.sort();
            resolution.failures.sort_unstable_by_key(|(index, _)| *index);
        }
        Ok(resolution)
    }
}

/// An id of a request that memory is asked about.
struct Asked<'a> {
    index: u32,
    id: &'a [u8],
    hash: IdHash,
    shard: &'a Shard,
    reading: &'a Reading<'a>,
}

/// How many ids memory answered, and how.
#[derive(Default)]
struct Counts {
    invalid: u64,
    filtered: u64,
    hit: u64,
    negative_hit: u64,
}

impl Counts {
    fn record(self, lookups: &Lookups) {
        for (result, count) in [
            (LookupResult::Invalid, self.invalid),
            (LookupResult::Answered(Outcome::Filtered), self.filtered),
            (LookupResult::Answered(Outcome::Hit), self.hit),
            (LookupResult::Answered(Outcome::NegativeHit), self.negative_hit),
        ] {
            // A count is shared by all cores: it is not touched for nothing.
            if count > 0 {
                lookups.of(result).increment(count);
            }
        }
    }
}

/// One request on its way.
struct Read<'a> {
    resolver: &'a Resolver,
    project: Project,
    token: Option<&'a Token>,
    deadline: Deadline,
}

impl Read<'_> {
    /// Answers what can be answered from memory; the rest is missed.
    ///
    /// A group of ids takes each step together: the memory that a step will look at is asked for while
    /// that of the ids before is on its way (see [`Reading`]).
    fn remember<'a>(
        &self,
        mut ids: impl Iterator<Item = (usize, &'a [u8])>,
        resolution: &mut Resolution,
        misses: &mut Vec<Miss>,
    ) {
        let cluster = &self.resolver.cluster;
        let shards = cluster.shards();
        let readings: SmallVec<[OnceCell<Option<Reading<'_>>>; 4]> =
            shards.iter().map(|_| OnceCell::new()).collect();
        let mut counts = Counts::default();
        let mut group: SmallVec<[Asked<'_>; GROUP]> = SmallVec::new();
        loop {
            let mut ended = true;
            for (index, id) in ids.by_ref().take(GROUP) {
                ended = false;
                // What cannot be an alias is none: an event must not be lost for its id.
                if domain::validate(id).is_err() || self.resolver.placeholders.contains(id) {
                    counts.invalid += 1;
                    continue;
                }
                let hash = IdHash::of(self.project, id);
                let found = cluster.shard_of_slot(hash.slot()).and_then(|shard| {
                    let reading = readings.get(usize::from(shard.id.0))?;
                    let reading = reading.get_or_init(|| shard.memory.read(&self.need(shard)));
                    Some((shard, reading.as_ref()?))
                });
                let index = index as u32;
                match found {
                    Some((shard, reading)) => {
                        group.push(Asked { index, id, hash, shard, reading });
                    }
                    None => misses.extend(self.miss(index, id)),
                }
            }
            if ended {
                break;
            }
            for asked in &group {
                asked.reading.touch_filter(asked.hash);
            }
            let mut places = SmallVec::<[Footprint; GROUP]>::new();
            group.retain(|asked| {
                let none = asked.reading.is_surely_none(asked.hash);
                if none {
                    counts.filtered += 1;
                    self.audit(asked);
                } else {
                    places.push(cluster.cache.footprint(self.project.get(), asked.id));
                }
                !none
            });
            for (asked, place) in group.iter().zip(&places) {
                asked.reading.touch(*place);
            }
            for (asked, place) in group.drain(..).zip(places) {
                let alias = |canonical: &[u8]| resolution.aliases.push(asked.index, canonical);
                match asked.reading.entry(place, alias) {
                    Some(Outcome::Hit) => counts.hit += 1,
                    Some(_) => counts.negative_hit += 1,
                    None => {
                        misses.extend(self.miss(asked.index, asked.id));
                        continue;
                    }
                }
                self.audit(&asked);
            }
        }
        counts.record(&self.resolver.metrics.lookups);
    }

    /// An answer was given from memory: perhaps it is compared with the database.
    fn audit(&self, asked: &Asked<'_>) {
        if asked.shard.samples() {
            asked.shard.audit(self.key(asked.id).into_iter().collect());
        }
    }

    fn miss(&self, index: u32, id: &[u8]) -> Option<Miss> {
        self.key(id).map(|key| Miss { index, key })
    }

    /// In memory of its own: a key that waits must not keep a whole request alive.
    fn key(&self, id: &[u8]) -> Option<Key> {
        let id = Id::new(Bytes::copy_from_slice(id)).ok()?;
        Some(Key::new(self.project, id))
    }

    /// Waits for loads of the misses, until the deadline.
    async fn load(&self, mut misses: Vec<Miss>, resolution: &mut Resolution) {
        let gather = Gather::new(misses.len(), self.deadline.until);
        let leave = LeaveOnDrop(&gather);
        let keys: HashMap<u32, Key> =
            misses.iter().map(|miss| (miss.index, miss.key.clone())).collect();
        while !misses.is_empty() {
            let later = misses.split_off(misses.len().min(TURN));
            self.start(misses, &gather);
            misses = later;
            if !misses.is_empty() {
                tokio::task::yield_now().await;
            }
        }
        let left = self.deadline.until.since(Boottime::now());
        let complete = tokio::time::timeout(left, gather.complete()).await.is_ok();
        drop(leave);
        let mut keys = keys;
        for (index, answer) in gather.take() {
            if let Some(key) = keys.remove(&index) {
                self.settle(index, &key, answer, resolution);
            }
        }
        debug_assert!(!complete || keys.is_empty());
        for (index, key) in keys {
            self.settle(index, &key, Err(LookupFailure::DeadlineExceeded), resolution);
        }
    }

    /// Joins the flights of all misses and gives the new ones to the lanes of their shards.
    fn start(&self, misses: Vec<Miss>, gather: &Arc<Gather>) {
        let mut started: HashMap<u16, Vec<Key>> = HashMap::new();
        for Miss { index, key } in misses {
            let Some(shard) = self.resolver.cluster.shard_of(&key) else {
                // Its shard has not been reached since the start.
                gather.deliver(index, Err(LookupFailure::Unavailable));
                continue;
            };
            match shard.memory.join(&key, &self.need(shard), gather, index) {
                Lookup::Found(found) => gather.deliver(index, Ok(found)),
                Lookup::Joined => {}
                Lookup::Started => started.entry(shard.id.0).or_default().push(key),
            }
        }
        for (shard, keys) in started {
            if let Some(shard) = self.resolver.cluster.shards().get(usize::from(shard)) {
                shard.enqueue(keys);
            }
        }
    }

    /// Files one answer; a failed one is replaced by the last known state, where that is allowed.
    fn settle(
        &self,
        index: u32,
        key: &Key,
        answer: Result<Found, LookupFailure>,
        resolution: &mut Resolution,
    ) {
        let answer = match answer {
            Err(failure) => self.degraded(key).ok_or(failure),
            found => found,
        };
        let result = match &answer {
            Ok(found) => LookupResult::Answered(found.outcome),
            Err(failure) => LookupResult::Failed(*failure),
        };
        self.resolver.metrics.lookups.of(result).increment(1);
        match answer {
            Ok(found) => {
                resolution.degraded |= found.outcome == Outcome::Degraded;
                if let Some(canonical) = found.canonical {
                    resolution.aliases.push(index, &canonical);
                }
            }
            Err(failure) => resolution.failures.push((index, failure)),
        }
    }

    fn degraded(&self, key: &Key) -> Option<Found> {
        let shard = self.resolver.cluster.shard_of(key)?;
        shard.memory.get_degraded(key, &self.need(shard), Boottime::now())
    }

    fn need(&self, shard: &Shard) -> Need {
        Need::new(self.deadline.arrived, self.token, shard.id)
    }
}

/// Tells the flights that nobody waits any more, also when the request's future is dropped.
struct LeaveOnDrop<'a>(&'a Gather);

impl Drop for LeaveOnDrop<'_> {
    fn drop(&mut self) {
        self.0.leave();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shard::{ClusterSettings, ShardSettings};
    use crate::store::{SqliteStore, Store, migrate};
    use aka_core::coherence::Limits;
    use std::pin::pin;
    use std::time::Duration;

    /// What came of a read of these ids, and how often its thread was free for others meanwhile.
    async fn read(resolver: &Resolver, ids: &[String]) -> (Resolution, u32) {
        let arrived = Boottime::now();
        let deadline = Deadline { arrived, until: arrived.plus(Duration::from_secs(30)) };
        let mut turns = 0;
        let ids = ids.iter().map(String::as_bytes);
        let mut reading = pin!(resolver.resolve(7, ids, "", deadline));
        let resolution = std::future::poll_fn(|context| {
            turns += 1;
            reading.as_mut().poll(context)
        });
        (resolution.await.expect("resolved"), turns)
    }

    #[tokio::test]
    async fn a_long_batch_lets_others_have_their_turn() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = SqliteStore::new(folder.path().join("turns.db"));
        migrate::sqlite(&store).await.expect("migrated");
        let second = Duration::from_secs(1);
        let settings = ClusterSettings {
            cache_bytes: 64 << 20,
            limits: Limits { staleness: 30 * second, degraded: Duration::ZERO },
            shard: ShardSettings { query_timeout: 30 * second, ..ShardSettings::default() },
        };
        let metrics = Arc::new(Metrics::new());
        let stores: Vec<Box<dyn Store>> = vec![Box::new(store)];
        let cluster = Cluster::start(stores, &settings, &metrics).await.expect("started");
        let resolver = Resolver::new(cluster.clone(), Placeholders::default(), metrics);
        // What cannot be an alias needs no shard: nothing else is waited for.
        for (count, turns) in [(0, 1), (1, 1), (TURN, 1), (TURN + 1, 2), (MAX_BATCH, 10)] {
            let (resolution, had) = read(&resolver, &vec!["null".to_owned(); count]).await;
            assert_eq!(had, turns, "{count}");
            assert_eq!(resolution.aliases.iter().len() + resolution.failures.len(), 0);
        }
        let missed: Vec<_> = (0..MAX_BATCH).map(|n| format!("nobody-{n}")).collect();
        let (resolution, had) = read(&resolver, &missed).await;
        assert!(had >= 10, "{had}");
        assert_eq!(resolution.failures, []);
        cluster.stop().await;
    }
}
