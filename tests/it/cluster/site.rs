//! The site that is tested: instances of aka, the servers of their shards, and between each
//! instance and each shard a proxy that can break the network.

use super::history::{At, Failover, History};
use aka_test_support::proxy::{Mode, Proxy};
use aka_test_support::{Aka, Database, DbServer, Engine, Tables};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

pub const INSTANCES: usize = 3;
pub const SHARDS: usize = 3;

/// Everything that faults are done to.
pub struct Site {
    instances: [Mutex<Arc<Aka>>; INSTANCES],
    shards: [Shard; SHARDS],
    /// The name of the database on each server.
    names: Vec<String>,
    /// Between an instance and a shard.
    links: [[Proxy; SHARDS]; INSTANCES],
    flags: Vec<String>,
}

struct Shard {
    primary: Mutex<Arc<DbServer>>,
    copy: Mutex<Option<Copy>>,
}

/// A copy of a server that no longer follows its primary.
struct Copy {
    server: Arc<DbServer>,
    copied: (At, At),
}

impl Site {
    /// Three servers, and three instances with these flags.
    pub async fn start(flags: &[&str]) -> Self {
        let start = || tokio::task::spawn_blocking(|| DbServer::start(Engine::MySql));
        let [first, second, third] = [(); SHARDS].map(|()| start());
        let servers = tokio::try_join!(first, second, third).expect("the servers start");
        let servers = [servers.0, servers.1, servers.2];
        let direct = Database::on(&servers.each_ref()).await;
        let names = direct.names();
        let ports = servers.each_ref().map(DbServer::port);
        let mut links = Vec::new();
        for _ in 0..INSTANCES {
            let [a, b, c] = ports.map(Proxy::start);
            links.push(<[Proxy; SHARDS]>::from(tokio::join!(a, b, c)));
        }
        let links = links.try_into().map_err(drop).expect("one for each instance");
        let flags: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).collect();
        let [a, b, c] = [0, 1, 2].map(|index| launch(&links, &names, &flags, index));
        let instances = <[Aka; INSTANCES]>::from(tokio::join!(a, b, c));
        Self {
            instances: instances.map(|aka| Mutex::new(Arc::new(aka))),
            shards: servers.map(|server| Shard {
                primary: Mutex::new(Arc::new(server)),
                copy: Mutex::default(),
            }),
            names,
            links,
            flags,
        }
    }

    /// The instance as it runs now.
    pub fn instance(&self, index: usize) -> Arc<Aka> {
        lock(&self.instances[index]).clone()
    }

    /// Puts a new process in the place of one that has ended.
    pub async fn relaunch(&self, index: usize) {
        let aka = launch(&self.links, &self.names, &self.flags, index).await;
        *lock(&self.instances[index]) = Arc::new(aka);
    }

    /// The networks between a shard and one instance, or all.
    pub fn set(&self, shard: usize, instance: Option<usize>, mode: Mode) {
        let concerned = |index: &usize| instance.is_none_or(|instance| instance == *index);
        for index in (0..INSTANCES).filter(concerned) {
            self.links[index][shard].set(mode);
        }
    }

    pub fn primary(&self, shard: usize) -> Arc<DbServer> {
        lock(&self.shards[shard].primary).clone()
    }

    /// Kills a primary (SIGKILL), copies its data, and starts both servers.
    pub async fn crash(&self, shard: usize, history: &History) {
        let primary = self.primary(shard);
        let crashed = primary.clone();
        let copying = tokio::task::spawn_blocking(move || {
            crashed.kill();
            crashed.copy()
        });
        let began = history.now();
        let copy = Arc::new(copying.await.expect("the data can be copied"));
        let ended = history.now();
        let (one, other) = (primary, copy.clone());
        let starts =
            [one, other].map(|server| tokio::task::spawn_blocking(move || server.restart()));
        futures::future::try_join_all(starts).await.expect("both start");
        *lock(&self.shards[shard].copy) = Some(Copy { server: copy, copied: (began, ended) });
    }

    /// Kills a primary and puts its copy, which lacks the last writes, in its place.
    pub async fn fail_over(&self, shard: usize, history: &History) {
        let copy = lock(&self.shards[shard].copy).take().expect("a copy was taken before");
        let held = self.held_by(shard, &copy.server).await;
        let old = std::mem::replace(&mut *lock(&self.shards[shard].primary), copy.server.clone());
        let lost = history.now();
        tokio::task::spawn_blocking(move || old.kill()).await.expect("killed");
        let replaced = history.now();
        for links in &self.links {
            links[shard].point_at(copy.server.port());
        }
        let Copy { copied, .. } = copy;
        history.failed_over(Failover { shard, copied, lost, replaced, held });
    }

    async fn held_by(&self, shard: usize, server: &DbServer) -> HashMap<String, u32> {
        let database = Database::at(vec![server.url(&self.names[shard])]);
        held(&database.tables().await)
    }

    /// The shards themselves, without the proxies.
    pub fn database(&self) -> Database {
        let url = |shard: usize| self.primary(shard).url(&self.names[shard]);
        Database::at((0..SHARDS).map(url).collect())
    }
}

async fn launch(
    links: &[[Proxy; SHARDS]; INSTANCES],
    names: &[String],
    flags: &[String],
    index: usize,
) -> Aka {
    let urls = links[index].iter().zip(names).map(|(proxy, name)| proxy.url(name));
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    // To let the checker fail on purpose.
    let mutant = std::env::var("AKA_MUTANT").unwrap_or_default();
    let environment = [("AKA_MUTANT", mutant.as_str())];
    Aka::serve_with_env(&Database::at(urls.collect()), &flags, &environment).await
}

/// The [state](super::history::State) of each alias, by the shards' tables.
pub fn held(shards: &[Tables]) -> HashMap<String, u32> {
    let rows = shards.iter().flat_map(|tables| &tables.forward);
    rows.map(|row| {
        let [alias, canonical] = [&row.alias_id, &row.canonical_id]
            .map(|id| std::str::from_utf8(id).expect("what the writers write is text"));
        let (_, number) = canonical.rsplit_once("-v").expect("what the writers write");
        (alias.to_owned(), number.parse().expect("a number"))
    })
    .collect()
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
