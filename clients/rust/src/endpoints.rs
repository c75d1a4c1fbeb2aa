//! Which server is called: of those that are up, the one with the least under way.

use crate::error::ConnectError;
use crate::observer::{Hooks, Notice};
use crate::peer::{Lease, Peer};
use crate::probe;
use crate::target::{Dial, Target};
use parking_lot::Mutex;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tokio::sync::Notify;

pub(crate) struct Endpoints {
    targets: Vec<Target>,
    dial: Dial,
    peers: Mutex<Vec<Arc<Peer>>>,
    max_in_flight: usize,
    freed: Arc<Notify>,
    /// Which of several equal ones is next.
    turn: AtomicUsize,
    hooks: Arc<Hooks>,
}

enum Pick {
    Free(Lease),
    /// All that are up have as much under way as they may.
    Full,
    /// No address is known.
    Nowhere,
}

impl Endpoints {
    pub fn new(targets: Vec<Target>, dial: Dial, max_in_flight: usize, hooks: Arc<Hooks>) -> Self {
        let (peers, freed, turn) = (Mutex::default(), Arc::default(), AtomicUsize::new(0));
        Self { targets, dial, peers, max_in_flight, freed, turn, hooks }
    }

    /// Looks up the addresses of all names. Where that fails, the addresses stay as they were.
    pub async fn look_up(&self) -> Result<(), ConnectError> {
        let mut found = Vec::new();
        for target in &self.targets {
            let addresses = target.addresses().await.unwrap_or_else(|_| self.known(target));
            found.extend(addresses.into_iter().map(|address| (target, address)));
        }
        let known = self.peers.lock().clone();
        let mut peers = Vec::with_capacity(found.len());
        for (target, address) in found {
            let same = |peer: &&Arc<Peer>| peer.address == address && peer.target == *target;
            match known.iter().find(same) {
                Some(peer) => peers.push(peer.clone()),
                None => peers.push(Arc::new(self.peer(target, address)?)),
            }
        }
        *self.peers.lock() = peers;
        self.freed.notify_waiters();
        Ok(())
    }

    fn known(&self, target: &Target) -> Vec<SocketAddr> {
        let peers = self.peers.lock();
        peers.iter().filter(|peer| peer.target == *target).map(|peer| peer.address).collect()
    }

    fn peer(&self, target: &Target, address: SocketAddr) -> Result<Peer, ConnectError> {
        Ok(Peer {
            target: target.clone(),
            address,
            channel: self.dial.channel(target, address)?,
            under_way: AtomicUsize::new(0),
            down: AtomicBool::new(false),
            freed: self.freed.clone(),
        })
    }

    /// Whether another look-up may find other addresses.
    pub fn has_names(&self) -> bool {
        self.targets.iter().any(Target::is_name)
    }

    /// Whether an address is down, or none is known.
    pub fn is_troubled(&self) -> bool {
        let peers = self.peers.lock();
        peers.is_empty() || peers.iter().any(|peer| peer.is_down())
    }

    /// Waits until an address is free, best one that was not tried. `None` if no address is known.
    pub async fn acquire(&self, tried: &[SocketAddr]) -> Option<Lease> {
        loop {
            let mut freed = pin!(self.freed.notified());
            // From now on: one that is freed after the look must not be missed.
            freed.as_mut().enable();
            match self.pick(tried) {
                Pick::Free(lease) => return Some(lease),
                Pick::Nowhere => return None,
                Pick::Full => freed.await,
            }
        }
    }

    /// An address that is free, up, and was not tried.
    pub fn other(&self, tried: &[SocketAddr]) -> Option<Lease> {
        match self.pick(tried) {
            Pick::Free(lease) if !lease.0.is_down() && !tried.contains(&lease.0.address) => {
                Some(lease)
            }
            _ => None,
        }
    }

    /// Whether an address is up that was not tried.
    pub fn has_other(&self, tried: &[SocketAddr]) -> bool {
        self.peers.lock().iter().any(|peer| !peer.is_down() && !tried.contains(&peer.address))
    }

    fn pick(&self, tried: &[SocketAddr]) -> Pick {
        let peers = self.peers.lock();
        if peers.is_empty() {
            return Pick::Nowhere;
        }
        // If all are down, one of them is called: the mark may be old.
        let some_are_up = peers.iter().any(|peer| !peer.is_down());
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let rank = |&(index, peer): &(usize, &Arc<Peer>)| {
            let under_way = peer.under_way.load(Ordering::Acquire);
            let place = (index + peers.len() - turn % peers.len()) % peers.len();
            (tried.contains(&peer.address), under_way, place)
        };
        let is_free = |(_, peer): &(usize, &Arc<Peer>)| {
            peer.under_way.load(Ordering::Acquire) < self.max_in_flight
                && (!some_are_up || !peer.is_down())
        };
        match peers.iter().enumerate().filter(is_free).min_by_key(rank) {
            Some((_, peer)) => {
                peer.under_way.fetch_add(1, Ordering::AcqRel);
                Pick::Free(Lease(peer.clone()))
            }
            None => Pick::Full,
        }
    }

    /// The address refused a connection.
    pub fn refused(&self, peer: &Arc<Peer>) {
        probe::mark_down(peer, &self.hooks, self.dial.connect_timeout);
    }

    /// The address answered.
    pub fn answered(&self, peer: &Peer) {
        if peer.is_down() && peer.mark_up() {
            self.hooks.tell(&Notice::EndpointUp);
        }
    }
}
