//! Stripes: the fence and the flights of a few keys, under one lock.

use super::Footprint;
use super::flight::Flight;
use crate::domain::Key;
use crate::sync::{AtomicU64, Mutex, MutexGuard, Ordering, fence};
use std::collections::HashMap;
use std::ops::{Deref, DerefMut};

/// What the lock of a stripe protects, beside the entries of its keys in the cache.
#[derive(Default)]
pub(super) struct Stripe {
    /// The seq of the newest change of any key of the stripe that this instance knows of. A load
    /// that read an earlier state does not enter the cache. It only rises, but for a new epoch.
    pub fence: u64,
    pub flights: HashMap<Key, Flight>,
}

impl Stripe {
    /// `key` changed at `seq`: a load that is out and read an earlier state must not enter any more.
    pub fn raise(&mut self, key: &Key, seq: u64) {
        self.fence = self.fence.max(seq);
        if let Some(flight) = self.flights.get_mut(key) {
            flight.overtake();
        }
    }
}

/// The stripes of a shard, each with a version: odd while its lock is held, and never the same again
/// after it was. What was read while the version was even, and stayed what it was, is as it was under the
/// lock; it still is as long as the version is the same. (A sequence lock; the first was Linux's.)
pub(super) struct Stripes {
    stripes: Box<[Mutex<Stripe>]>,
    versions: Box<[AtomicU64]>,
}

/// The lock of a stripe.
pub(super) struct Locked<'a> {
    stripe: MutexGuard<'a, Stripe>,
    version: &'a AtomicU64,
}

impl Stripes {
    /// At least one. A change of one key keeps out loads, older than the change, of the other keys
    /// of its stripe too.
    pub fn new(count: usize) -> Self {
        let count = count.max(1);
        Self {
            stripes: (0..count).map(|_| Mutex::default()).collect(),
            versions: (0..count).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    pub fn lock(&self, place: Footprint) -> Locked<'_> {
        self.lock_index(self.index(place))
    }

    /// The version of a key's stripe; `None` while somebody has its lock.
    pub fn version(&self, place: Footprint) -> Option<u64> {
        let version = self.versions[self.index(place)].load(Ordering::Acquire);
        version.is_multiple_of(2).then_some(version)
    }

    /// Whether the stripe has had this version all the time since [`version`](Self::version) said so.
    pub fn is_still(&self, place: Footprint, version: u64) -> bool {
        // What was read in between must not be read after this.
        fence(Ordering::Acquire);
        self.versions[self.index(place)].load(Ordering::Relaxed) == version
    }

    fn index(&self, place: Footprint) -> usize {
        // The low half, scaled, chooses the stripe; moka takes the high bits.
        ((u64::from(place.hash() as u32) * self.stripes.len() as u64) >> 32) as usize
    }

    fn lock_index(&self, index: usize) -> Locked<'_> {
        let (stripe, version) = (self.stripes[index].lock(), &self.versions[index]);
        version.fetch_add(1, Ordering::AcqRel);
        // What is changed under the lock must not be seen before the version is.
        fence(Ordering::SeqCst);
        Locked { stripe, version }
    }

    /// A new epoch: all fences start at the cursor, and no query that is out is anybody's.
    pub fn restart(&self, cursor: u64) {
        for index in 0..self.stripes.len() {
            let mut stripe = self.lock_index(index);
            stripe.fence = cursor;
            stripe.flights.values_mut().for_each(Flight::restart);
        }
    }
}

impl Deref for Locked<'_> {
    type Target = Stripe;

    fn deref(&self) -> &Stripe {
        &self.stripe
    }
}

impl DerefMut for Locked<'_> {
    fn deref_mut(&mut self) -> &mut Stripe {
        &mut self.stripe
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        // Before the lock is given back: it is a field, and is dropped after this.
        self.version.fetch_add(1, Ordering::AcqRel);
    }
}
