//! What the tasks of a shard see of its primary: the claims in its answers (rule 10).

use super::primary::{BEAT_INTERVAL, Lead};
use super::state::Shard;
use crate::store::StoreError;
use aka_core::coherence::{may_lead, proof_age, wants_beat};
use aka_core::domain::{Claim, Micros};

impl Shard {
    /// Whether the shard is a group of servers, which have beats.
    pub fn is_group(&self) -> bool {
        self.store.is_group()
    }

    /// Reads what an answer of the primary says of its server. One that takes no writes any more is
    /// lost. One whose beat is old must commit another. `now`: the time of the answer, by the
    /// server's clock.
    pub(super) fn heed(&self, claim: &Claim, now: Micros) {
        if !self.store.may_move() {
            return;
        }
        if !may_lead(claim) {
            let cause = "the server takes no writes any more".to_owned();
            self.lose_primary(&StoreError::Unreachable { address: self.address(), cause });
        } else if self.is_group() && wants_beat(proof_age(claim, now), BEAT_INTERVAL) {
            self.primary.want_beat();
        }
    }

    /// Whether an answer of the primary is surely not older than the staleness limit.
    pub(super) fn is_proven(&self, claim: &Claim, now: Micros) -> bool {
        !self.is_group()
            || may_lead(claim) && !wants_beat(proof_age(claim, now), self.memory.limits().staleness)
    }

    /// Gives up the primary and all connections to it, unless that was done.
    pub(super) fn lose_primary(&self, error: &StoreError) {
        let given_up = self.primary.give_up(|server| match self.is_group() {
            true => Lead::Nobody(error.clone()),
            // Nobody else can be asked.
            false => Lead::StandIn(server.clone()),
        });
        if given_up {
            // After the lead was changed: a connection that opens now must not use the old one.
            self.memory.leave_connections();
            self.health.doubt();
            tracing::warn!(shard = self.id.0, %error, "the shard has lost its primary");
        }
    }
}
