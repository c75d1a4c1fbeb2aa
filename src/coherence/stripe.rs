//! Stripes: the fence and the flights of a few keys, under one lock.

use super::flight::Flight;
use crate::domain::Key;
use parking_lot::{Mutex, MutexGuard};
use std::collections::HashMap;

/// How many stripes a shard has. A change of one key keeps out loads, older than the change, of the
/// other keys of its stripe too, so there are enough that this is rare.
const STRIPES: usize = 4096;

/// What the lock of a stripe protects, beside the entries of its keys in the cache.
#[derive(Default)]
pub(super) struct Stripe {
    /// The seq of the newest change of any key of the stripe that this instance knows of. A load
    /// that read an earlier state does not enter the cache. It only rises, but for a new epoch.
    pub fence: u64,
    pub flights: HashMap<Key, Flight>,
}

pub(super) struct Stripes(Box<[Mutex<Stripe>]>);

impl Stripes {
    pub fn new() -> Self {
        Self((0..STRIPES).map(|_| Mutex::default()).collect())
    }

    pub fn lock(&self, footprint: super::Footprint) -> MutexGuard<'_, Stripe> {
        // The low bits choose the stripe; moka takes the high ones.
        self.0[footprint.0 as usize % STRIPES].lock()
    }

    /// A new epoch: all fences start at the cursor, and no query that is out is anybody's.
    pub fn restart(&self, cursor: u64) {
        for stripe in &self.0 {
            let mut stripe = stripe.lock();
            stripe.fence = cursor;
            stripe.flights.values_mut().for_each(Flight::restart);
        }
    }
}
