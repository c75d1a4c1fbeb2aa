//! Stripes: the fence and the flights of a group of keys, under one lock (rules 2 to 5).
//!
//! Invariant: within an epoch a fence only rises. Entries are changed under the lock of their key's
//! stripe.

use super::flight::Flight;
use super::footprint::Footprint;
use crate::domain::Key;
use crate::mutant::step;
use crate::sync::{Mutex, MutexGuard};
use std::collections::HashMap;

/// The part of a stripe that its lock holds. The lock also protects the cache's entries of its
/// keys.
#[derive(Default)]
pub(super) struct Stripe {
    /// The seq of the newest change of the stripe's keys that this instance knows of. A load from
    /// below it does not enter the cache.
    pub fence: u64,
    /// The newest seq of a load that landed in the stripe in this epoch. Readers may have been told
    /// of a state as new as this, whether or not the cache kept it.
    pub newest_load: u64,
    pub flights: HashMap<Key, Flight>,
}

impl Stripe {
    /// `key` changed at `seq`. A load that is out and has read an earlier state must not enter the
    /// cache.
    pub fn raise(&mut self, key: &Key, seq: u64) {
        self.fence = self.fence.max(seq);
        if let Some(flight) = self.flights.get_mut(key) {
            flight.overtake();
        }
    }
}

/// The stripes of a shard.
pub(super) struct Stripes(Box<[Mutex<Stripe>]>);

impl Stripes {
    /// Makes `count` stripes, at least one. With more stripes, a change of one key keeps out a load
    /// of another key less often.
    pub fn new(count: usize) -> Self {
        Self((0..count.max(1)).map(|_| Mutex::default()).collect())
    }

    pub fn lock(&self, footprint: Footprint) -> MutexGuard<'_, Stripe> {
        self.of(footprint).lock()
    }

    /// `None` if another thread has the lock.
    pub fn try_lock(&self, footprint: Footprint) -> Option<MutexGuard<'_, Stripe>> {
        self.of(footprint).try_lock()
    }

    fn of(&self, footprint: Footprint) -> &Mutex<Stripe> {
        // The low half of the hash, scaled to the number of stripes. moka uses the high bits.
        &self.0[((u64::from(footprint.hash() as u32) * self.0.len() as u64) >> 32) as usize]
    }

    /// A new epoch begins: all fences start here, and queries that are out answer nobody.
    pub fn restart(&self, fence: u64) {
        for stripe in &self.0 {
            let mut stripe = stripe.lock();
            stripe.fence = fence;
            stripe.newest_load = 0;
            step!(OldEpochEnters => {
                stripe.flights.values_mut().for_each(|flight| flight.restart(fence));
            });
        }
    }
}
