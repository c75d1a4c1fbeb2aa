//! Stripes: the fence and the flights of a few keys, under one lock.

use super::flight::Flight;
use super::footprint::Footprint;
use crate::domain::Key;
use crate::mutant::step;
use crate::sync::{Mutex, MutexGuard};
use std::collections::HashMap;

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

/// The stripes of a shard.
pub(super) struct Stripes(Box<[Mutex<Stripe>]>);

impl Stripes {
    /// At least one. A change of one key keeps out loads, older than the change, of the other keys
    /// of its stripe too.
    pub fn new(count: usize) -> Self {
        Self((0..count.max(1)).map(|_| Mutex::default()).collect())
    }

    pub fn lock(&self, footprint: Footprint) -> MutexGuard<'_, Stripe> {
        self.of(footprint).lock()
    }

    /// Nothing if somebody has the lock.
    pub fn try_lock(&self, footprint: Footprint) -> Option<MutexGuard<'_, Stripe>> {
        self.of(footprint).try_lock()
    }

    fn of(&self, footprint: Footprint) -> &Mutex<Stripe> {
        // The low half, scaled, chooses the stripe; moka takes the high bits.
        &self.0[((u64::from(footprint.hash() as u32) * self.0.len() as u64) >> 32) as usize]
    }

    /// A new epoch: all fences start at the cursor, and no query that is out is anybody's.
    pub fn restart(&self, cursor: u64) {
        for stripe in &self.0 {
            let mut stripe = stripe.lock();
            stripe.fence = cursor;
            step!(OldEpochEnters => stripe.flights.values_mut().for_each(Flight::restart));
        }
    }
}
