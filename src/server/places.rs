//! The places of connections. When few are left, the connection that has been idle for longest is
//! sent elsewhere, so that new clients come in. One address may have a limit of its own.

use super::peers::Peers;
use crate::metrics::{CloseReason, Metrics};
use crate::rpc::Activity;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

/// All places of a port.
pub(super) struct Places {
    most: usize,
    permits: Arc<Semaphore>,
    taken: Mutex<Occupants>,
    metrics: Arc<Metrics>,
}

struct Occupants {
    next: u64,
    by_number: HashMap<u64, Occupant>,
    peers: Peers,
}

/// An open connection.
pub(super) struct Occupant {
    pub peer: IpAddr,
    pub activity: Arc<Activity>,
    pub leaving: CancellationToken,
}

/// The place of one connection. Dropping it frees the place.
pub(super) struct HeldPlace {
    places: Arc<Places>,
    number: u64,
    _permit: OwnedSemaphorePermit,
}

impl Places {
    /// So many places, of which one peer may have so many. 0: any number.
    pub fn new(most: usize, most_of_peer: usize, metrics: Arc<Metrics>) -> Arc<Self> {
        let peers = Peers::new(most_of_peer);
        let taken = Mutex::new(Occupants { next: 0, by_number: HashMap::new(), peers });
        Arc::new(Self { most, permits: Arc::new(Semaphore::new(most)), taken, metrics })
    }

    /// Waits until a place is free. `None` never comes: the places are never closed.
    pub async fn free(&self) -> Option<OwnedSemaphorePermit> {
        self.permits.clone().acquire_owned().await.ok()
    }

    /// Gives a place to a connection. If few are left then, the connection that has been idle for
    /// longest is told to end. `None`: the peer of the new one has as many as it may have.
    pub fn take(
        self: &Arc<Self>,
        permit: OwnedSemaphorePermit,
        occupant: Occupant,
    ) -> Option<HeldPlace> {
        let mut taken = self.taken.lock();
        if !taken.peers.arrive(occupant.peer) {
            self.metrics.connections_closed.of(CloseReason::TooManyOfPeer).increment(1);
            return None;
        }
        let number = taken.next;
        taken.next += 1;
        // The new one has not had time for a call.
        if 20 * (taken.by_number.len() + 1) > 19 * self.most {
            self.send_away(&taken);
        }
        taken.by_number.insert(number, occupant);
        self.metrics.connections.increment(1.0);
        Some(HeldPlace { places: self.clone(), number, _permit: permit })
    }

    fn send_away(&self, taken: &Occupants) {
        let idle = taken.by_number.values().filter(|occupant| !occupant.leaving.is_cancelled());
        let idle = idle.filter_map(|occupant| Some((occupant.activity.idle_since()?, occupant)));
        if let Some((_, longest)) = idle.min_by_key(|(since, _)| *since) {
            longest.leaving.cancel();
            self.metrics.connections_closed.of(CloseReason::Idle).increment(1);
        }
    }
}

impl Drop for HeldPlace {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock();
        if let Some(occupant) = taken.by_number.remove(&self.number) {
            taken.peers.leave(occupant.peer);
        }
        self.places.metrics.connections.decrement(1.0);
    }
}
