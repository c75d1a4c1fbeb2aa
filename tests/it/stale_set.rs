//! The stale-set race (P2, P4): a load has read the old state and has not landed yet when the alias
//! changes. A read after the write's answer must see the write, and so must all later reads.
//!
//! A hook holds the load between the database's answer and the cache, so the race happens every
//! time. The tests also run it on a mutant of the program, where the race must be lost.

use aka_test_support::{Aka, Backend, Database, PROJECT, Resolved, backend, eventually};
use aka_wire::pb::ResolveRequest;
use std::path::Path;
use tempfile::TempDir;
use tonic::Status;

on_backends!(a_held_load_does_not_hide_a_write: sqlite mysql_3);

/// The answers of three reads around a write.
#[derive(Debug)]
struct Seen {
    /// Sent before the write. Either state is right.
    before: Resolved,
    /// Sent after the write's answer, while the old load was still out.
    during: Option<Resolved>,
    /// Sent after the old load had landed.
    after: Resolved,
}

struct Race {
    aka: Aka,
    gate: TempDir,
}

impl Race {
    async fn new(database: &Database, mutant: &str) -> Self {
        let gate = TempDir::new().expect("a folder");
        let folder = gate.path().display().to_string();
        let environment = [("AKA_HOLD_DIR", folder.as_str()), ("AKA_MUTANT", mutant)];
        // A long limit, because the feed may be late on a busy machine and memory must answer all
        // the same. No filter, because it would answer without a load.
        let flags = ["--staleness-limit-ms", "60000", "--filter", "false"];
        let aka = Aka::serve_with_env(database, &flags, &environment).await;
        eventually("the feed has set its cursor", async || {
            let looks = aka.metric("aka_feed_looks_total", &[]).await;
            (looks > 2.0 * database.shards() as f64).then_some(())
        })
        .await;
        Self { aka, gate }
    }

    /// Makes a load of the new id `id` read the old state. Then it calls `write`, and sends another
    /// read if one is wanted. Then it lets the load land.
    async fn run<T>(
        &self,
        id: &str,
        reader_during: bool,
        write: impl AsyncFnOnce(&Aka) -> Result<T, Status>,
    ) -> Seen {
        let held = self.path("landing.held");
        let _ = std::fs::remove_file(&held);
        std::fs::write(self.path("landing"), "").expect("the gate closes");
        let before = self.read(id);
        eventually("the load is held", async || held.exists().then_some(())).await;
        write(&self.aka).await.expect("the write is acknowledged");
        let during = if reader_during { Some(self.arrived(id).await) } else { None };
        std::fs::remove_file(self.path("landing")).expect("the gate opens");
        let before = answer(before).await;
        let during = match during {
            Some(during) => Some(answer(during).await),
            None => None,
        };
        let after = self.aka.resolve(PROJECT, id).await.expect("resolved");
        Seen { before, during, after }
    }

    fn read(&self, id: &str) -> Reading {
        let mut resolver = self.aka.resolver();
        let distinct_id = id.to_owned().into();
        let consistency_token = String::new();
        let request = ResolveRequest { project_id: PROJECT, distinct_id, consistency_token };
        tokio::spawn(async move { resolver.resolve(request).await })
    }

    /// Sends a read, and waits until the server has begun to work on it.
    async fn arrived(&self, id: &str) -> Reading {
        let started = async || {
            let labels = ["grpc_method=\"Resolve\""];
            self.aka.metric("grpc_server_started_total", &labels).await
        };
        let before = started().await;
        let reading = self.read(id);
        let arrived = async || (started().await > before).then_some(());
        eventually("the second read has arrived", arrived).await;
        reading
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        Path::new(self.gate.path()).join(name)
    }
}

type Reading = tokio::task::JoinHandle<Result<tonic::Response<Resolved>, Status>>;

async fn answer(reading: Reading) -> Resolved {
    reading.await.expect("no panic").expect("resolved").into_inner()
}

async fn a_held_load_does_not_hide_a_write(backend: Backend) {
    let database = Database::create(backend).await;
    let race = Race::new(&database, "").await;
    for during in [true, false] {
        let ids = |stem: &str| format!("{stem}-{during}");
        let (new, moved, gone) = (ids("new"), ids("moved"), ids("gone"));
        let create = async |aka: &Aka| aka.create(PROJECT, &new, "alice").await;
        assert_new(&race.run(&new, during, create).await, &new, "alice");

        let created = race.aka.create(PROJECT, &moved, "ann").await.expect("created");
        let version = created.alias.expect("an alias").version;
        let update = async |aka: &Aka| aka.update(PROJECT, &moved, "eve", version).await;
        assert_new(&race.run(&moved, during, update).await, &moved, "eve");

        race.aka.create(PROJECT, &gone, "ann").await.expect("created");
        let delete = async |aka: &Aka| aka.delete(PROJECT, &gone, 0).await;
        assert_new(&race.run(&gone, during, delete).await, &gone, &gone);
    }
}

/// Checks that no read after the write saw the old state. The read before it may have seen either.
fn assert_new(seen: &Seen, id: &str, canonical: &str) {
    for answer in seen.during.iter().chain([&seen.after]) {
        assert_eq!(answer.canonical_id, canonical, "{id}: {seen:?}");
        assert_eq!(answer.is_alias, id != canonical, "{id}: {seen:?}");
    }
    assert!(!seen.before.degraded, "{seen:?}");
}

/// Without the fence the held load enters the cache, and later reads do not see the write.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_fence_the_race_is_lost() {
    let database = Database::create(backend::sqlite()).await;
    let race = Race::new(&database, "no_fence").await;
    let create = async |aka: &Aka| {
        let created = aka.create(PROJECT, "bob", "alice").await;
        // Otherwise the feed could remove the old load's entry again.
        eventually("the feed has applied it", async || {
            (aka.metric("aka_feed_applied_seq", &[]).await > 0.0).then_some(())
        })
        .await;
        created
    };
    let seen = race.run("bob", false, create).await;
    assert_eq!(seen.after.canonical_id, "bob", "the mutant was not caught: {seen:?}");
}

/// Without the floor a read after the write takes the load from before it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_floor_the_race_is_lost() {
    let database = Database::create(backend::sqlite()).await;
    let race = Race::new(&database, "no_floor").await;
    let create = async |aka: &Aka| aka.create(PROJECT, "bob", "alice").await;
    let during = race.run("bob", true, create).await.during.expect("it was wanted");
    assert_eq!(during.canonical_id, "bob", "the mutant was not caught: {during:?}");
}

/// An instance sees its own writes without the feed, which polls once an hour here. The mutant does
/// not tell memory of them, and is caught.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn own_writes_do_not_wait_for_the_feed() {
    for (mutant, expected) in [("", "alice"), ("no_local_apply", "bob")] {
        let database = Database::create(backend::sqlite()).await;
        // No filter, because it would answer in place of an entry.
        let limits = ["--feed-interval-ms", "3600000", "--staleness-limit-ms", "3600000"];
        let flags = [&limits[..], &["--filter", "false"]].concat();
        let aka = Aka::serve_with_env(&database, &flags, &[("AKA_MUTANT", mutant)]).await;
        let remembered = async || {
            aka.resolve(PROJECT, "bob").await.expect("resolved");
            let hits = aka.metric("aka_lookups_total", &["outcome=\"negative_hit\""]).await;
            (hits > 0.0).then_some(())
        };
        eventually("it is remembered that bob is no alias", remembered).await;
        aka.create(PROJECT, "bob", "alice").await.expect("created");
        let seen = aka.resolve(PROJECT, "bob").await.expect("resolved");
        assert_eq!(seen.canonical_id, expected, "with the mutant {mutant:?}");
    }
}
