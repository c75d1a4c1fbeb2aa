//! Asks every server of every shard.

use super::diagnosis::Diagnosis;
use super::server::judge;
use crate::config::{Database, Secret};
use crate::store::{
    Directory, MySqlStore, Server, ServerFacts, ShardUrl, SqliteStore, Store, StoreError,
};
use aka_core::domain::{Bar, Identity, ShardId};
use futures::{StreamExt, stream};
use std::path::Path;
use std::time::Duration;

/// How many shards are asked at once.
const AT_ONCE: usize = 16;

/// What the servers of a shard said.
struct ShardAnswers {
    shard: ShardId,
    /// The shard's address, without a password.
    address: String,
    verified: bool,
    servers: Vec<(Server, Result<ServerFacts, StoreError>)>,
}

/// The checks of MySQL shards.
pub(super) async fn mysql(
    urls: &[ShardUrl],
    password: Option<&Secret>,
    connect_timeout: Duration,
) -> Vec<Diagnosis> {
    let stores = match Database::mysql(urls, password, connect_timeout) {
        Ok(stores) => stores,
        Err(error) => {
            let advice = "correct the shard's URL; docs/mysql.md says how it is written";
            return vec![Diagnosis::problem("shards", error.to_string(), advice)];
        }
    };
    let directory = Directory::new(stores.len() as u16);
    let shards = (0..).map(ShardId).zip(stores).zip(urls);
    let asked = shards.map(|((shard, store), url)| ask(shard, store, url.verifies_servers()));
    let asked: Vec<ShardAnswers> = stream::iter(asked).buffered(AT_ONCE).collect().await;
    let mut checks: Vec<_> = asked.iter().flat_map(|shard| of_shard(shard, &directory)).collect();
    let all = |shard: &ShardAnswers| primary(shard).is_some_and(|facts| facts.identity.is_some());
    // What is not known yet is not missing.
    if asked.iter().all(all) {
        checks.push(slots(&directory));
    }
    checks
}

async fn ask(shard: ShardId, store: MySqlStore, verified: bool) -> ShardAnswers {
    let mut servers = Vec::new();
    for server in store.servers().await {
        let facts = store.examine(&server).await;
        servers.push((server, facts));
    }
    ShardAnswers { shard, address: store.address(), verified, servers }
}

/// The server whose tables count: the one that takes writes, or the only one.
fn primary(asked: &ShardAnswers) -> Option<&ServerFacts> {
    let mut facts = asked.servers.iter().filter_map(|(_, facts)| facts.as_ref().ok());
    match asked.servers.len() {
        1 => facts.next(),
        _ => facts.find(|facts| facts.takes_writes),
    }
}

fn of_shard(asked: &ShardAnswers, directory: &Directory) -> Vec<Diagnosis> {
    let ShardAnswers { shard, address, verified, servers } = asked;
    let mut checks = Vec::new();
    for (server, facts) in servers {
        let what = format!("shard {shard}, server {server}");
        match facts {
            Ok(facts) => {
                let role = if facts.takes_writes { "takes writes" } else { "takes no writes" };
                checks.push(Diagnosis::ok(&what, format!("answers, and {role}")));
                checks.extend(judge(&what, server, *verified, facts));
            }
            Err(error) => {
                checks.push(Diagnosis::problem(&what, error.to_string(), unreached(error)));
            }
        }
    }
    checks.push(roles(asked));
    if let Some(facts) = primary(asked) {
        let what = format!("shard {shard}, tables");
        checks.push(tables(&what, *shard, address, facts.identity.as_ref(), directory));
    }
    checks
}

/// What to do about a server that gives no facts.
fn unreached(error: &StoreError) -> &'static str {
    match error {
        StoreError::Unreachable { .. } | StoreError::TimedOut { .. } | StoreError::Busy { .. } => {
            "start the server, or correct its name and port; look at the network and the firewall \
             between"
        }
        StoreError::Barred { bar: Bar::Full, .. } => "make room on the disk of the database",
        StoreError::Barred { .. } => {
            "correct user and password (--shard-password-file), or GRANT the user its rights on \
             the database"
        }
        StoreError::NotConnected { .. } => {
            "create the database that the URL names, or correct the URL and the files of ssl-ca, \
             ssl-cert and ssl-key"
        }
        StoreError::WrongShard(_) | StoreError::TooLarge { .. } | StoreError::Refused { .. } => {
            "name the right database"
        }
    }
}

/// Whether exactly one server takes writes.
fn roles(asked: &ShardAnswers) -> Diagnosis {
    let what = format!("shard {}, primary", asked.shard);
    let reached =
        asked.servers.iter().filter_map(|(server, facts)| Some((server, facts.as_ref().ok()?)));
    let primaries = reached.clone().filter(|(_, facts)| facts.takes_writes);
    let primaries: Vec<_> = primaries.map(|(server, _)| server.to_string()).collect();
    match &primaries[..] {
        [one] => Diagnosis::ok(what, format!("{one}; servers that answer: {}", reached.count())),
        [] if reached.count() == 0 => {
            Diagnosis::problem(what, "no server answers", "look at the lines of the servers")
        }
        [] => Diagnosis::problem(
            what,
            "no server takes writes",
            "promote one of them (read_only, super_read_only = OFF), or name the primary too",
        ),
        several => Diagnosis::problem(
            what,
            format!("several servers take writes: {}", several.join(", ")),
            "make all but one read-only at once; docs/runbooks/AkaTwoPrimaries.md goes on from there",
        ),
    }
}

/// Whether the tables are there, and those of this shard.
fn tables(
    what: &str,
    shard: ShardId,
    address: &str,
    identity: Option<&Identity>,
    directory: &Directory,
) -> Diagnosis {
    let Some(identity) = identity else {
        return Diagnosis::problem(
            what,
            "there are none of aka's",
            "run aka migrate with the same shards",
        );
    };
    match directory.admit(shard, identity, address) {
        Ok(()) => Diagnosis::ok(
            what,
            format!(
                "version {}, shard {} of {} of cluster {}",
                identity.schema_version, identity.shard, identity.shard_count, identity.cluster
            ),
        ),
        Err(error) => Diagnosis::problem(
            what,
            error.to_string(),
            "name the shards of one cluster in shard order, and run aka migrate after an upgrade",
        ),
    }
}

fn slots(directory: &Directory) -> Diagnosis {
    match directory.unowned() {
        None => Diagnosis::ok("slots", "each has one owner"),
        Some(slot) => Diagnosis::problem(
            "slots",
            format!("no shard owns slot {}", slot.get()),
            "name all shards of the cluster, in shard order",
        ),
    }
}

/// The checks of the embedded store. There may be no file yet.
pub(super) async fn sqlite(path: &Path) -> Vec<Diagnosis> {
    let what = format!("SQLite file {}", path.display());
    if !path.exists() {
        return vec![Diagnosis::ok(what, "is not there yet; aka serve makes it")];
    }
    let store = SqliteStore::new(path.to_owned());
    let (version, identity) = match store.examine().await {
        Ok(examined) => examined,
        Err(error) => {
            let advice = "name a file of aka that its user may read and write, or another one";
            return vec![Diagnosis::problem(what, error.to_string(), advice)];
        }
    };
    let opened = Diagnosis::ok(&what, format!("can be read, with SQLite {version}"));
    let Some(identity) = identity else {
        return vec![opened, Diagnosis::ok(what + ", tables", "none yet; aka serve makes them")];
    };
    let directory = Directory::new(1);
    let what = what + ", tables";
    vec![opened, tables(&what, ShardId(0), &store.address(), Some(&identity), &directory)]
}
