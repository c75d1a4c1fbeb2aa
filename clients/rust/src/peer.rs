//! One address that is called.

use crate::target::Target;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tokio::sync::Notify;
use tonic::transport::Channel;

/// One address, and what is known of it.
pub(crate) struct Peer {
    pub target: Target,
    pub address: SocketAddr,
    pub channel: Channel,
    pub under_way: AtomicUsize,
    /// It refused the last connection.
    pub down: AtomicBool,
    /// Wakes those who wait for a free endpoint.
    pub freed: Arc<Notify>,
}

impl Peer {
    pub fn is_down(&self) -> bool {
        self.down.load(Ordering::Acquire)
    }

    /// Whether it was up until now.
    pub fn mark_down(&self) -> bool {
        !self.down.swap(true, Ordering::AcqRel)
    }

    /// Whether it was down until now.
    pub fn mark_up(&self) -> bool {
        let was_down = self.down.swap(false, Ordering::AcqRel);
        self.freed.notify_waiters();
        was_down
    }
}

/// The right to have one call under way to an address.
pub(crate) struct Lease(pub Arc<Peer>);

impl Drop for Lease {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::AcqRel);
        self.0.freed.notify_waiters();
    }
}
