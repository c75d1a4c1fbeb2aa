//! How many connections each address has.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

/// The pause between two lines of the log. An enemy could write many otherwise.
const PAUSE: Duration = Duration::from_secs(10);

/// The addresses that have connections, if there is a limit. There are never more of them than
/// connections.
pub(super) struct Peers {
    /// 0: any number.
    most: usize,
    connections: HashMap<IpAddr, usize>,
    said: Option<Instant>,
    /// How many were refused since the last line of the log.
    refused: u64,
}

impl Peers {
    /// `most`: how many connections one address may have. 0: any number.
    pub fn new(most: usize) -> Self {
        Self { most, connections: HashMap::new(), said: None, refused: 0 }
    }

    /// Counts a connection of this address. Returns false, and does not count it, if the address has
    /// as many as it may have.
    pub fn arrive(&mut self, address: IpAddr) -> bool {
        if self.most == 0 {
            return true;
        }
        let connections = self.connections.entry(network(address)).or_default();
        if *connections < self.most {
            *connections += 1;
            return true;
        }
        self.refuse(address);
        false
    }

    /// A connection of this address has ended.
    pub fn leave(&mut self, address: IpAddr) {
        let network = network(address);
        if let Some(connections) = self.connections.get_mut(&network) {
            *connections -= 1;
            if *connections == 0 {
                self.connections.remove(&network);
            }
        }
    }

    fn refuse(&mut self, peer: IpAddr) {
        self.refused += 1;
        let now = Instant::now();
        if self.said.is_some_and(|said| now.duration_since(said) < PAUSE) {
            return;
        }
        self.said = Some(now);
        let (refused, max_connections_per_peer) = (std::mem::take(&mut self.refused), self.most);
        tracing::warn!(
            %peer,
            refused,
            max_connections_per_peer,
            "an address has as many connections as max_connections_per_peer allows, so further ones \
             are closed"
        );
    }
}

/// What counts as one address. A host mostly has all IPv6 addresses that begin with the same 64 bits.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn each_network_has_its_own_limit_and_leaves_nothing_behind() {
        let mut peers = Peers::new(2);
        for mine in ["10.0.0.1", "::ffff:10.0.0.1"] {
            assert!(peers.arrive(address(mine)));
        }
        assert!(!peers.arrive(address("10.0.0.1")));
        assert!(peers.arrive(address("10.0.0.2")));
        assert!(peers.arrive(address("2001:db8::1")) && peers.arrive(address("2001:db8::2")));
        assert!(!peers.arrive(address("2001:db8::3")));
        assert!(peers.arrive(address("2001:db8:0:1::1")));
        peers.leave(address("10.0.0.1"));
        assert!(peers.arrive(address("10.0.0.1")));
        for left in ["10.0.0.1", "10.0.0.1", "10.0.0.2", "2001:db8::1", "2001:db8::2"] {
            peers.leave(address(left));
        }
        peers.leave(address("2001:db8:0:1::1"));
        assert!(peers.connections.is_empty());
    }

    #[test]
    fn without_a_limit_nothing_is_counted() {
        let mut peers = Peers::new(0);
        assert!((0..100).all(|_| peers.arrive(address("10.0.0.1"))));
        assert!(peers.connections.is_empty());
    }
}
