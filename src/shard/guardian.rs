//! The guardian of a shard: finds its primary, and has it prove itself (rule 10).
//!
//! In a group it asks all servers at once. The first one that takes writes and commits a beat is
//! the primary. Until there is one, it asks again every [`PAUSE`], and a replica stands in.

use super::connection::{ShardConnection, ask, connect, in_time};
use super::primary::{BEAT_INTERVAL, Lead};
use super::state::Shard;
use crate::store::{Role, Server, Session, StoreError};
use aka_core::coherence::{is_primary, may_lead, proof_age};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// The pause between two searches for the primary.
const PAUSE: Duration = Duration::from_millis(250);

/// How long a server may take for each of its answers in a search.
const PATIENCE: Duration = Duration::from_secs(1);

/// The pause between two looks whether a name has come to mean several servers.
const NAMES_PAUSE: Duration = Duration::from_secs(5);

/// Guards the primary for ever.
pub(super) async fn run(shard: Arc<Shard>) {
    if !shard.store.may_move() {
        return;
    }
    let mut guardian = Guardian {
        connection: ShardConnection::new(shard.clone(), Role::Write),
        last: shard.store.sole_server(),
        shard,
    };
    loop {
        if guardian.shard.primary.is_known() {
            guardian.watch().await;
        } else if !guardian.find().await {
            sleep(PAUSE).await;
        }
    }
}

struct Guardian {
    shard: Arc<Shard>,
    /// To the primary of a group, for beats.
    connection: ShardConnection,
    /// The last primary.
    last: Option<Server>,
}

/// What a server of the shard has answered.
enum Found {
    Primary,
    /// It answers, but is not proven to be the primary.
    StandIn,
}

impl Guardian {
    /// Waits for what may end the primary's lead, and acts on it.
    async fn watch(&mut self) {
        let shard = self.shard.clone();
        let is_group = shard.is_group();
        tokio::select! {
            () = shard.primary.lost() => {}
            () = shard.primary.beat_wanted(), if is_group => self.beat().await,
            () = shard.health.doubted(), if is_group => self.verify().await,
            () = sleep(NAMES_PAUSE), if !is_group => self.look_up_names().await,
        }
    }

    /// Has the primary commit a beat. One that cannot is no primary, whoever it believes to be.
    async fn beat(&mut self) {
        let beat = async { Ok(ask!(&mut self.connection, |session| session.beat(BEAT_INTERVAL))) };
        let beaten = in_time(PATIENCE, &self.shard.address(), beat).await;
        if let Err(error) = beaten.and_then(|beaten| beaten) {
            self.connection.close();
            self.shard.lose_primary(&error);
        }
    }

    /// Finds out whether the primary still answers, because a connection to it has failed.
    async fn verify(&mut self) {
        match ask!(&mut self.connection, |session| session.load(&[])) {
            Ok(loaded) => self.shard.heed(&loaded.claim, loaded.now),
            Err(error) => self.shard.lose_primary(&error),
        }
    }

    /// The shard's name may have come to mean several servers, which are a group then.
    async fn look_up_names(&mut self) {
        if self.shard.store.servers().await.len() > 1 {
            let cause = "its name means several servers now".to_owned();
            let address = self.shard.address();
            self.shard.lose_primary(&StoreError::Unreachable { address, cause });
        }
    }

    /// Asks all servers, and follows the first that is the primary. Returns false if there is none.
    async fn find(&mut self) -> bool {
        let shard = self.shard.clone();
        let servers = shard.store.servers().await;
        let asked = servers.into_iter().map(|server| async {
            let found = ask_server(&shard, &server).await;
            (server, found)
        });
        let mut asked: FuturesUnordered<_> = asked.collect();
        let (mut standing_in, mut failed) = (Vec::new(), None);
        while let Some((server, found)) = asked.next().await {
            match found {
                Ok(Found::Primary) => {
                    drop(asked);
                    self.follow(server);
                    return true;
                }
                Ok(Found::StandIn) => {
                    // At the start the others are heard first: nobody has lost anything yet.
                    if let Lead::Nobody(_) = shard.primary.lead() {
                        self.stand_in(&server);
                    }
                    standing_in.push(server);
                }
                Err(error) => failed = Some(error),
            }
        }
        drop(asked);
        match (shard.primary.lead(), standing_in.first(), failed) {
            (Lead::StandIn(server), ..) if standing_in.contains(&server) => {}
            (_, Some(server), _) => self.stand_in(server),
            (_, None, Some(error)) if shard.is_group() => shard.primary.set(Lead::Nobody(error)),
            _ => {}
        }
        false
    }

    /// The connections use this primary from now on.
    fn follow(&mut self, server: Server) {
        let Self { shard, last, .. } = self;
        let address = server.to_string();
        tracing::info!(shard = shard.id.0, address, "this server is the shard's primary");
        if last.replace(server.clone()).is_some_and(|last| last != server) {
            shard.metrics.failovers.increment(1);
        }
        // A write that the former primary refused says nothing about the next.
        shard.health.note_write(None);
        self.use_lead(Lead::Primary(server));
    }

    /// The lanes use this server until there is a primary.
    fn stand_in(&self, server: &Server) {
        let (shard, address) = (&self.shard, server.to_string());
        tracing::info!(shard = shard.id.0, address, "this server stands in for the primary");
        self.use_lead(Lead::StandIn(server.clone()));
    }

    fn use_lead(&self, lead: Lead) {
        self.shard.primary.set(lead);
        // Nobody stays with another server. After the lead was set: see `lose_primary`.
        self.shard.memory.leave_connections();
        self.shard.health.doubt();
    }
}

/// Asks a server what it is. In a group a primary must commit a beat now: others may know it as a
/// former one.
async fn ask_server(shard: &Shard, server: &Server) -> Result<Found, StoreError> {
    let mut session = connect(shard, server, Role::Write).await?;
    let found = ask_session(shard, session.as_mut()).await;
    shard.goodbyes.close(session);
    found
}

async fn ask_session(shard: &Shard, session: &mut dyn Session) -> Result<Found, StoreError> {
    let address = shard.address();
    let claim = in_time(PATIENCE, &address, session.load(&[])).await?.claim;
    if !may_lead(&claim) {
        return Ok(Found::StandIn);
    }
    if !shard.is_group() {
        return Ok(Found::Primary);
    }
    // A server that cannot commit is no primary, but can answer.
    if in_time(PATIENCE, &address, session.beat(Duration::ZERO)).await.is_err() {
        return Ok(Found::StandIn);
    }
    let loaded = in_time(PATIENCE, &address, session.load(&[])).await?;
    let proven = is_primary(&loaded.claim) && proof_age(&loaded.claim, loaded.now).is_some();
    Ok(if proven { Found::Primary } else { Found::StandIn })
}
