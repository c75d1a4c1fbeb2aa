//! Which server of a shard is the primary, as this instance knows it (rule 10). All connections of
//! the instance use the same one.
//!
//! The tasks tell what they see of the primary (`claims`), and the `guardian` looks for the next one
//! when it is lost.

use crate::store::{Server, StoreError};
use std::time::Duration;
use tokio::sync::{Notify, watch};

/// The age from which on a beat is renewed. It is well below the staleness limit.
pub(super) const BEAT_INTERVAL: Duration = Duration::from_millis(250);

/// The least staleness limit of a shard that is a group: a beat is up to its interval old, and is
/// renewed after a poll has seen that.
pub const LEAST_STALENESS: Duration = Duration::from_millis(500);

/// The server that the connections use.
#[derive(Clone, Debug)]
pub(super) enum Lead {
    /// No server of the group was asked yet.
    Unknown,
    /// It takes writes, and in a group it has proved that it is the primary.
    Primary(Server),
    /// There is no primary. This server answers, and its answers are degraded.
    StandIn(Server),
    /// There is no primary, and no server answers.
    Nobody(StoreError),
}

/// The primary of one shard.
pub(super) struct Primary {
    lead: watch::Sender<Lead>,
    /// Wakes the guardian, because the beat is old.
    beat_wanted: Notify,
}

/// A server to connect to.
pub(super) struct Target {
    pub server: Server,
    /// It is not the primary: its answers are degraded at most.
    pub stands_in: bool,
}

impl Primary {
    /// `sole`: the only server of the shard. It leads until it says that it takes no writes.
    pub fn new(sole: Option<Server>) -> Self {
        let lead = sole.map_or(Lead::Unknown, Lead::Primary);
        Self { lead: watch::Sender::new(lead), beat_wanted: Notify::new() }
    }

    pub fn lead(&self) -> Lead {
        self.lead.borrow().clone()
    }

    /// Whether a server leads.
    pub fn is_known(&self) -> bool {
        matches!(*self.lead.borrow(), Lead::Primary(_))
    }

    /// The server to connect to. Waits for the first one that is found. `stand_in`: whether a
    /// stand-in will do.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn target(&self, stand_in: bool) -> Result<Target, StoreError> {
        let mut lead = self.lead.subscribe();
        // It fails only if the sender is gone, which is `self`.
        let known = lead.wait_for(|lead| !matches!(lead, Lead::Unknown)).await;
        let lead = known.map_or_else(|_| self.lead(), |lead| lead.clone());
        match lead {
            Lead::Primary(server) => Ok(Target { server, stands_in: false }),
            Lead::StandIn(server) if stand_in => Ok(Target { server, stands_in: true }),
            Lead::StandIn(server) => Err(StoreError::no_primary(server.to_string())),
            Lead::Nobody(error) => Err(error),
            Lead::Unknown => Err(StoreError::no_primary("the shard".to_owned())),
        }
    }

    /// Sets the server that the connections use.
    pub fn set(&self, lead: Lead) {
        self.lead.send_replace(lead);
    }

    /// Gives up the primary. `next`: what the connections use meanwhile. Returns false if none
    /// leads.
    pub fn give_up(&self, next: impl FnOnce(&Server) -> Lead) -> bool {
        self.lead.send_if_modified(|lead| {
            let Lead::Primary(server) = &*lead else { return false };
            *lead = next(server);
            true
        })
    }

    /// Waits until no server leads.
    pub async fn lost(&self) {
        // It fails only if the sender is gone, which is `self`.
        let _ = self.lead.subscribe().wait_for(|lead| !matches!(lead, Lead::Primary(_))).await;
    }

    /// Waits until a server leads.
    pub async fn found(&self) {
        // As above.
        let _ = self.lead.subscribe().wait_for(|lead| matches!(lead, Lead::Primary(_))).await;
    }

    /// Waits until the lead changes.
    pub async fn changed(&self) {
        // As above.
        let _ = self.lead.subscribe().changed().await;
    }

    /// Says that the beat is old.
    pub fn want_beat(&self) {
        self.beat_wanted.notify_one();
    }

    /// Waits until somebody saw an old beat.
    pub async fn beat_wanted(&self) {
        self.beat_wanted.notified().await;
    }
}
