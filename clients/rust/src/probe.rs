//! Looks whether an address that refused a connection takes one again.

use crate::observer::{Hooks, Notice};
use crate::peer::Peer;
use rand::RngExt;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::net::TcpStream;

const FIRST_PAUSE: Duration = Duration::from_millis(25);
const GREATEST_PAUSE: Duration = Duration::from_secs(1);

/// Marks an address down, and probes it until it is up, or until nobody calls it any more.
pub(crate) fn mark_down(peer: &Arc<Peer>, hooks: &Arc<Hooks>, connect_timeout: Duration) {
    if peer.mark_down() {
        hooks.tell(&Notice::EndpointDown);
        tokio::spawn(probe(Arc::downgrade(peer), hooks.clone(), connect_timeout));
    }
}

async fn probe(peer: Weak<Peer>, hooks: Arc<Hooks>, connect_timeout: Duration) {
    let mut pause = FIRST_PAUSE;
    loop {
        // Clients that saw it go down together do not come back together.
        let share = rand::rng().random_range(0.5..=1.0);
        tokio::time::sleep(pause.mul_f64(share)).await;
        let Some(address) = peer.upgrade().filter(|peer| peer.is_down()).map(|peer| peer.address)
        else {
            return;
        };
        let opened = tokio::time::timeout(connect_timeout, TcpStream::connect(address)).await;
        if matches!(opened, Ok(Ok(_))) {
            if peer.upgrade().is_some_and(|peer| peer.mark_up()) {
                hooks.tell(&Notice::EndpointUp);
            }
            return;
        }
        pause = (pause * 2).min(GREATEST_PAUSE);
    }
}
