//! The survey: looks at all servers of a group, for operators. Nothing is decided by it.

use super::connection::{connect, in_time};
use super::primary::Lead;
use super::server_report::ServerReport;
use super::state::Shard;
use crate::store::{Role, Server, ServerRole, Session, StoreError};
use aka_core::domain::Loaded;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The pause between two looks.
const PAUSE: Duration = Duration::from_secs(1);

/// How long a server may take to answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// Looks again and again.
pub(super) async fn run(shard: Arc<Shard>) {
    let mut sessions = BTreeMap::new();
    let mut primaries = 0;
    loop {
        if shard.is_group() {
            let found = look(&shard, &mut sessions).await;
            let now = report(&shard, &found);
            let count = now.iter().filter(|report| report.role == ServerRole::Primary).count();
            if count > 1 && primaries <= 1 {
                let servers: Vec<_> = found.keys().map(ToString::to_string).collect();
                let servers = servers.join(", ");
                tracing::error!(shard = shard.id.0, servers, "several servers take writes at once");
            }
            primaries = count;
            *shard.servers.lock() = now;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

type Sessions = BTreeMap<Server, Box<dyn Session>>;

/// Asks all servers at once for their claims and positions.
async fn look(
    shard: &Shard,
    sessions: &mut Sessions,
) -> BTreeMap<Server, Result<Loaded, StoreError>> {
    let asked = shard.store.servers().await.into_iter().map(|server| {
        let session = sessions.remove(&server);
        async move {
            let (session, found) = ask_server(shard, &server, session).await;
            (server, session, found)
        }
    });
    let mut found = BTreeMap::new();
    for (server, session, answer) in futures::future::join_all(asked).await {
        if let Some(session) = session {
            sessions.insert(server.clone(), session);
        }
        found.insert(server, answer);
    }
    found
}

/// Asks one server, over the session of the last look if there is one.
async fn ask_server(
    shard: &Shard,
    server: &Server,
    session: Option<Box<dyn Session>>,
) -> (Option<Box<dyn Session>>, Result<Loaded, StoreError>) {
    let mut session = match session {
        Some(session) => session,
        None => match connect(shard, server, Role::Read).await {
            Ok(session) => session,
            Err(error) => return (None, Err(error)),
        },
    };
    match in_time(PATIENCE, &server.to_string(), session.load(&[])).await {
        Ok(loaded) => (Some(session), Ok(loaded)),
        Err(error) => {
            shard.goodbyes.close(session);
            (None, Err(error))
        }
    }
}

fn report(
    shard: &Shard,
    found: &BTreeMap<Server, Result<Loaded, StoreError>>,
) -> Vec<ServerReport> {
    let lead = match shard.primary.lead() {
        Lead::Primary(server) | Lead::StandIn(server) => Some(server),
        Lead::Unknown | Lead::Nobody(_) => None,
    };
    let before = shard.servers.lock().clone();
    let known = shard.memory.cursor().map_or(0, |at| at.seq);
    let seqs = found.values().flatten().map(|loaded| loaded.at.seq);
    let newest = seqs.fold(known, u64::max);
    let report = |(server, found): (&Server, &Result<Loaded, StoreError>)| {
        let role = match found {
            Ok(loaded) if loaded.claim.takes_writes => ServerRole::Primary,
            Ok(_) => ServerRole::Replica,
            Err(_) => ServerRole::Unreachable,
        };
        let seq = found.as_ref().ok().map(|loaded| loaded.at.seq);
        let same = before.iter().find(|it| it.server == *server && it.role == role);
        ServerReport {
            server: server.clone(),
            role,
            in_use: lead.as_ref() == Some(server),
            seq,
            lag: seq.map(|seq| newest.saturating_sub(seq)),
            since: same.map_or_else(Instant::now, |same| same.since),
        }
    };
    found.iter().map(report).collect()
}
