//! One read, and the answers that memory has for it.

use super::resolution::Resolution;
use crate::metrics::{LookupResult, Lookups};
use crate::shard::{Cluster, Shard};
use aka_core::clock::Boottime;
use aka_core::coherence::{Footprint, Need, Outcome, Reading};
use aka_core::domain::{self, Id, IdHash, Key, Placeholders, Project, Token};
use bytes::Bytes;
use smallvec::SmallVec;
use std::cell::OnceCell;

/// After this many ids the other tasks of the thread have their turn: a fraction of a millisecond.
pub(super) const TURN: usize = 1_000;

/// Ids that take each step together. More than 32 would not help: a core has fewer memory accesses
/// under way at once. With 32, the fetched lines are still in its caches when they are used.
const GROUP: usize = 32;

/// On what terms a read is answered.
#[derive(Clone, Copy, Debug)]
pub struct ReadTerms {
    /// When the request arrived. Staleness counts from then.
    pub arrived: Boottime,
    /// An id that is not known by then is a failure.
    pub until: Boottime,
    /// Whether ids that are not in memory may be loaded. Otherwise they are refused.
    pub may_load: bool,
}

/// One read under way.
pub(super) struct Read<'a> {
    pub cluster: &'a Cluster,
    pub placeholders: &'a Placeholders,
    pub lookups: &'a Lookups,
    pub project: Project,
    pub token: Option<&'a Token>,
    pub terms: ReadTerms,
}

/// A key that memory did not answer, and its index in the batch.
pub(super) struct Miss {
    pub index: u32,
    pub key: Key,
}

/// An id that memory is asked about.
struct Asked<'a> {
    index: u32,
    id: &'a [u8],
    hash: IdHash,
    shard: &'a Shard,
    reading: &'a Reading<'a>,
}

/// The readings of all shards. Each is opened when the first id of its shard comes.
type Readings<'a> = SmallVec<[OnceCell<Option<Reading<'a>>>; 4]>;

type Group<'a> = SmallVec<[Asked<'a>; GROUP]>;

/// How many ids memory answered, by outcome.
#[derive(Default)]
pub(super) struct MemoryCounts {
    invalid: u64,
    filtered: u64,
    hit: u64,
    negative_hit: u64,
}

impl MemoryCounts {
    fn by_result(&self) -> [(LookupResult, u64); 4] {
        [
            (LookupResult::Invalid, self.invalid),
            (LookupResult::Answered(Outcome::Filtered), self.filtered),
            (LookupResult::Answered(Outcome::Hit), self.hit),
            (LookupResult::Answered(Outcome::NegativeHit), self.negative_hit),
        ]
    }

    /// An outcome that some id had. `None`: memory answered none.
    pub fn first(&self) -> Option<LookupResult> {
        self.by_result().iter().find(|(_, count)| *count > 0).map(|(result, _)| *result)
    }

    fn record(&self, lookups: &Lookups) {
        for (result, count) in self.by_result() {
            // A counter is shared by all cores, so it is written only if the count is not 0.
            if count > 0 {
                lookups.of(result).increment(count);
            }
        }
    }
}

impl Read<'_> {
    /// Answers the ids that memory can answer, and says how many. The others are added to `misses`.
    ///
    /// A group of ids takes each step together, so that their memory accesses overlap (see
    /// [`Reading`]).
    pub fn answer_from_memory<'a>(
        &self,
        mut ids: impl Iterator<Item = (usize, &'a [u8])>,
        resolution: &mut Resolution,
        misses: &mut Vec<Miss>,
    ) -> MemoryCounts {
        let readings: Readings<'_> =
            self.cluster.shards().iter().map(|_| OnceCell::new()).collect();
        let mut counts = MemoryCounts::default();
        let mut group = Group::new();
        loop {
            let mut ended = true;
            for (index, id) in ids.by_ref().take(GROUP) {
                ended = false;
                // An invalid id is never an alias. It is answered unchanged and not refused,
                // because a pipeline must not lose the event.
                if domain::validate(id).is_err() || self.placeholders.contains(id) {
                    counts.invalid += 1;
                    continue;
                }
                let hash = IdHash::of(self.project, id);
                let found = self.cluster.shard_of_slot(hash.slot()).and_then(|shard| {
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
            self.look_up(&mut group, &mut counts, resolution, misses);
        }
        counts.record(self.lookups);
        counts
    }

    /// Asks the filter, the hot table and the cache about a group of ids, and empties it.
    #[inline]
    fn look_up(
        &self,
        group: &mut Group<'_>,
        counts: &mut MemoryCounts,
        resolution: &mut Resolution,
        misses: &mut Vec<Miss>,
    ) {
        for asked in group.iter() {
            asked.reading.touch_filter(asked.hash);
        }
        let mut footprints = SmallVec::<[Footprint; GROUP]>::new();
        group.retain(|asked| {
            let none = asked.reading.is_surely_none(asked.hash);
            if none {
                counts.filtered += 1;
                self.audit(asked);
            } else {
                footprints.push(self.cluster.cache.footprint(self.project.get(), asked.id));
            }
            !none
        });
        for (asked, footprint) in group.iter().zip(&footprints) {
            asked.reading.touch(*footprint);
        }
        for (asked, footprint) in group.drain(..).zip(footprints) {
            let alias = |canonical: &[u8]| resolution.aliases.push(asked.index, canonical);
            match asked.reading.entry(footprint, alias) {
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

    /// Gives a sample of the ids that memory answered to the auditor.
    #[inline]
    fn audit(&self, asked: &Asked<'_>) {
        if asked.shard.samples() {
            asked.shard.audit(self.key(asked.id).into_iter().collect());
        }
    }

    fn miss(&self, index: u32, id: &[u8]) -> Option<Miss> {
        self.key(id).map(|key| Miss { index, key })
    }

    /// A key in memory of its own, because a key that waits must not keep the whole request alive.
    fn key(&self, id: &[u8]) -> Option<Key> {
        let id = Id::new(Bytes::copy_from_slice(id)).ok()?;
        Some(Key::new(self.project, id))
    }

    pub fn need(&self, shard: &Shard) -> Need {
        Need::new(self.terms.arrived, self.token, shard.id)
    }
}
