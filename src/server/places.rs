//! The places of connections. When few are left, the connection that has been idle for longest is
//! sent elsewhere, so that new clients come in.

use crate::metrics::Metrics;
use crate::rpc::Activity;
use metrics::{Counter, Gauge};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

/// All places of a port.
pub(super) struct Places {
    most: usize,
    permits: Arc<Semaphore>,
    taken: Mutex<Occupants>,
    connections: Gauge,
    sent_away: Counter,
}

#[derive(Default)]
struct Occupants {
    next: u64,
    by_number: HashMap<u64, Occupant>,
}

/// An open connection.
struct Occupant {
    activity: Arc<Activity>,
    leaving: CancellationToken,
}

/// The place of one connection. Dropping it frees the place.
pub(super) struct HeldPlace {
    places: Arc<Places>,
    number: u64,
    _permit: OwnedSemaphorePermit,
}

impl Places {
    pub fn new(most: usize, metrics: &Metrics) -> Arc<Self> {
        Arc::new(Self {
            most,
            permits: Arc::new(Semaphore::new(most)),
            taken: Mutex::default(),
            connections: metrics.connections.clone(),
            sent_away: metrics.idle_connections_closed.clone(),
        })
    }

    /// Waits until a place is free. `None` never comes: the places are never closed.
    pub async fn free(&self) -> Option<OwnedSemaphorePermit> {
        self.permits.clone().acquire_owned().await.ok()
    }

    /// Gives a place to a connection. If few are left then, the connection that has been idle for
    /// longest is told to end.
    pub fn take(
        self: &Arc<Self>,
        permit: OwnedSemaphorePermit,
        activity: Arc<Activity>,
        leaving: CancellationToken,
    ) -> HeldPlace {
        let mut taken = self.taken.lock();
        let number = taken.next;
        taken.next += 1;
        // The new one has not had time for a call.
        if 20 * (taken.by_number.len() + 1) > 19 * self.most {
            self.send_away(&taken);
        }
        taken.by_number.insert(number, Occupant { activity, leaving });
        self.connections.increment(1.0);
        HeldPlace { places: self.clone(), number, _permit: permit }
    }

    fn send_away(&self, taken: &Occupants) {
        let idle = taken.by_number.values().filter(|occupant| !occupant.leaving.is_cancelled());
        let idle = idle.filter_map(|occupant| Some((occupant.activity.idle_since()?, occupant)));
        if let Some((_, longest)) = idle.min_by_key(|(since, _)| *since) {
            longest.leaving.cancel();
            self.sent_away.increment(1);
        }
    }
}

impl Drop for HeldPlace {
    fn drop(&mut self) {
        self.places.taken.lock().by_number.remove(&self.number);
        self.places.connections.decrement(1.0);
    }
}
