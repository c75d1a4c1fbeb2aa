//! Shards that are groups of servers (rule 10): a real MySQL group, two real instances.
//!
//! Each test breaks the primary in another way. The rules themselves are tested by the simulation.

use aka_test_support::proxy::{Mode, Proxy};
use aka_test_support::{
    Aka, Database, DbServer, Engine, MySqlGroup, PROJECT, ReplicaPair, Resolved, assert_refused,
    create_request, eventually, run_aka,
};
use aka_wire::pb::alias_admin_client::AliasAdminClient;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tokio::task::{JoinHandle, JoinSet};
use tonic::Code;

/// A thread that is late, as on a busy machine, refuses nothing.
const UNHURRIED: [&str; 2] = ["--overload-lag-ms", "60000"];

/// A group with one shard on it, and two instances that serve from it.
struct Site {
    group: MySqlGroup,
    database: Database,
    one: Arc<Aka>,
    other: Aka,
}

impl Site {
    async fn start() -> Self {
        let group = MySqlGroup::start().await;
        let database = Database::at(vec![group.url()]);
        let migrated = run_aka("migrate", &database.flags()).await;
        assert!(migrated.status.success(), "{migrated:?}");
        let one = Arc::new(Aka::serve_with_defaults(&database, &UNHURRIED).await);
        let other = Aka::serve_with_defaults(&database, &UNHURRIED).await;
        Self { group, database, one, other }
    }

    /// Every acknowledged write is read on the other instance, by its token.
    async fn holds(&self, written: &[Acknowledged]) {
        for Acknowledged { alias, token } in written {
            let read = async || self.other.resolve_as_of(PROJECT, alias, token).await.ok();
            let found = eventually("the token is reached", read).await;
            assert_eq!(found.canonical_id, of(alias), "{alias} was acknowledged, and is lost");
            assert!(!found.degraded, "a reader with a token got a degraded answer");
        }
        let checked = run_aka("check", &self.database.flags()).await;
        assert!(checked.status.success(), "{checked:?}");
    }
}

/// A write that was acknowledged.
struct Acknowledged {
    alias: String,
    token: String,
}

fn of(alias: &str) -> String {
    format!("of-{alias}")
}

/// Creates aliases one after the other, until it is told to stop.
struct Writer {
    stop: Arc<AtomicBool>,
    written: JoinHandle<Vec<Acknowledged>>,
    count: Arc<AtomicUsize>,
}

impl Writer {
    fn start(aka: Arc<Aka>, stem: &'static str) -> Self {
        let (stop, count) = <(Arc<AtomicBool>, Arc<AtomicUsize>)>::default();
        let (told, counted) = (stop.clone(), count.clone());
        let written = tokio::spawn(async move {
            let mut written = Vec::new();
            for number in 0..100_000 {
                if told.load(Ordering::Acquire) {
                    return written;
                }
                let alias = format!("{stem}-{number}");
                match aka.create(PROJECT, &alias, of(&alias)).await {
                    Ok(answer) => {
                        written.push(Acknowledged { alias, token: answer.consistency_token });
                        counted.fetch_add(1, Ordering::AcqRel);
                    }
                    Err(status) => assert_eq!(status.code(), Code::Unavailable, "{status:?}"),
                }
            }
            panic!("the writer was never stopped")
        });
        Self { stop, written, count }
    }

    /// Waits until it has written this many more.
    async fn writes_more(&self, count: usize) {
        let target = self.count.load(Ordering::Acquire) + count;
        eventually("writes go on", async || {
            (self.count.load(Ordering::Acquire) >= target).then_some(())
        })
        .await;
    }

    async fn stop(self) -> Vec<Acknowledged> {
        self.stop.store(true, Ordering::Release);
        self.written.await.expect("the writer ends")
    }
}

/// Waits until an id is answered, degraded or not.
async fn answered(aka: &Aka, id: &str, degraded: bool) -> Resolved {
    let what = if degraded { "a degraded answer" } else { "an answer that is not degraded" };
    eventually(what, async || {
        aka.resolve(PROJECT, id).await.ok().filter(|answer| answer.degraded == degraded)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_switch_and_a_killed_primary_lose_no_write() {
    let site = Site::start().await;
    let writer = Writer::start(site.one.clone(), "w");
    writer.writes_more(20).await;

    site.group.switch_primary(1).await;
    writer.writes_more(20).await;
    assert_eq!(site.group.primary().await, Some(1));
    let failovers = async |aka: &Aka| aka.metric("aka_failovers_total", &[]).await;
    assert_eq!(failovers(&site.one).await, 1.0);

    site.group.node(1).kill();
    let answer = answered(&site.other, "w-0", true).await;
    assert_eq!(answer.canonical_id, of("w-0"), "the last known state");
    // This instance has never read it, so a replica has answered.
    assert!(site.other.metric("aka_replica_reads_total", &[]).await >= 1.0);
    site.group.other_primary(1).await;
    writer.writes_more(20).await;
    assert_eq!(failovers(&site.one).await, 2.0);
    answered(&site.other, "w-0", false).await;
    let written = writer.stop().await;
    site.holds(&written).await;

    // An operator sees all three servers.
    let role = async |role: &str| site.one.metric("aka_shard_role", &[role]).await;
    eventually("the roles are seen", async || {
        let roles = [role("\"primary\"").await, role("\"replica\"").await];
        (roles == [1.0, 1.0] && role("\"unreachable\"").await == 1.0).then_some(())
    })
    .await;
}

/// While there is no primary. Those that are held fail when their time is over.
async fn at_most_1000_writes_are_held(aka: &Arc<Aka>) {
    let mut writes = JoinSet::new();
    // A connection has a limit of calls at once.
    for connection in 0..6 {
        let admin = AliasAdminClient::new(aka.new_channel());
        for number in 0..200 {
            let mut admin = admin.clone();
            let id = format!("h-{connection}-{number}");
            let request = create_request(PROJECT, id, "alice");
            writes.spawn(async move { admin.create_alias(request).await.map(drop) });
        }
    }
    eventually("1,000 are held", async || {
        let held = aka.metric("aka_writes_held", &[]).await;
        assert!(held <= 1_000.0, "{held} are held");
        (held == 1_000.0).then_some(())
    })
    .await;
    for written in writes.join_all().await {
        let refused = written.expect_err("there is no primary");
        assert_refused(&refused, Code::Unavailable, "SHARD_UNAVAILABLE");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_is_cut_off_gives_no_unmarked_answer() {
    let site = Site::start().await;
    let created = site.one.create(PROJECT, "bob", "alice").await.expect("created");
    answered(&site.other, "bob", false).await;

    // Without its peers the primary goes on answering reads, and cannot commit.
    site.group.node(1).pause();
    site.group.node(2).pause();
    for aka in [&*site.one, &site.other] {
        let answer = answered(aka, "bob", true).await;
        assert_eq!(answer.canonical_id, "alice");
        // It stays so: nothing that it says counts as fresh.
        for _ in 0..50 {
            match aka.resolve(PROJECT, "bob").await {
                Ok(answer) => assert!(answer.degraded, "an unmarked answer of a cut-off primary"),
                Err(status) => assert_eq!(status.code(), Code::Unavailable, "{status:?}"),
            }
        }
        let token = &created.consistency_token;
        let refused = aka.resolve_as_of(PROJECT, "bob", token).await.expect_err("no fresh answer");
        assert_refused(&refused, Code::Unavailable, "SHARD_UNAVAILABLE");
        let refused = aka.get(PROJECT, "bob").await.expect_err("no fresh row");
        assert_refused(&refused, Code::Unavailable, "SHARD_UNAVAILABLE");
    }

    at_most_1000_writes_are_held(&site.one).await;
    site.group.node(1).resume();
    site.group.node(2).resume();
    for aka in [&*site.one, &site.other] {
        answered(aka, "bob", false).await;
    }
    let answer = eventually("writes are back", async || {
        site.one.create(PROJECT, "carol", "alice").await.ok()
    })
    .await;
    let read =
        async || site.other.resolve_as_of(PROJECT, "carol", &answer.consistency_token).await.ok();
    assert_eq!(eventually("the write is read", read).await.canonical_id, "alice");
}

/// The network between the servers is cut. The others elect a new primary, which takes a write, while
/// the old one still answers reads. One instance reaches all servers, the other one only the old
/// primary.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_network_shows_no_past_unmarked() {
    let group = MySqlGroup::start_on_own_network().await;
    let database = Database::at(vec![group.url()]);
    let migrated = run_aka("migrate", &database.flags()).await;
    assert!(migrated.status.success(), "{migrated:?}");
    let one = Aka::serve_with_defaults(&database, &UNHURRIED).await;
    let ways = [Proxy::start(group.node(1).port()).await, Proxy::start(group.node(2).port()).await];
    let ports = [group.node(0).port(), ways[0].port(), ways[1].port()];
    let servers = ports.map(|port| format!("127.0.0.1:{port}")).join(",");
    let other = Database::at(vec![format!("mysql://root@{servers}/{}", group.database())]);
    let other =
        Aka::serve_with_defaults(&other, &[&UNHURRIED[..], &["--filter", "false"]].concat()).await;
    let bob = one.create(PROJECT, "bob", "alice").await.expect("created").alias.expect("alias");
    one.create(PROJECT, "carol", "alice").await.expect("created");
    assert_eq!(answered(&other, "bob", false).await.canonical_id, "alice");

    group.cut_off(0);
    ways.iter().for_each(|way| way.set(Mode::Refuse));
    answered(&other, "bob", true).await;
    assert_ne!(group.other_primary(0).await, 0);
    assert!(group.takes_writes(0).await, "the old primary does not know that it is one no longer");
    let updated =
        eventually("a write", async || one.update(PROJECT, "bob", "dora", bob.version).await.ok())
            .await;
    assert_eq!(answered(&one, "bob", false).await.canonical_id, "dora");

    // The old primary says "alice" of both, and the other instance has never asked for one of them.
    for id in ["bob", "carol"].into_iter().cycle().take(200) {
        match other.resolve(PROJECT, id).await {
            Ok(answer) => assert!(answer.degraded, "an unmarked answer of a cut-off primary"),
            Err(status) => assert_eq!(status.code(), Code::Unavailable, "{status:?}"),
        }
        let token = &updated.consistency_token;
        let refused = other.resolve_as_of(PROJECT, id, token).await.expect_err("no fresh answer");
        assert_eq!(refused.code(), Code::Unavailable, "{refused:?}");
    }

    ways.iter().for_each(|way| way.set(Mode::Pass));
    assert_eq!(answered(&other, "bob", false).await.canonical_id, "dora");
    group.reconnect(0);
    let token = &updated.consistency_token;
    let read = async || other.resolve_as_of(PROJECT, "bob", token).await.ok();
    assert_eq!(eventually("the token is reached", read).await.canonical_id, "dora");
}

/// A primary is demoted and a replica promoted, and nothing is lost. Then the way back, which loses
/// the writes that the first server has never seen. No connection is closed.
async fn a_demoted_server_is_left(engine: Engine) {
    let pair = ReplicaPair::start(engine).await;
    let database = Database::at(vec![pair.url()]);
    let aka =
        Aka::serve_with_defaults(&database, &[&UNHURRIED[..], &["--filter", "false"]].concat())
            .await;
    let kept = aka.create(PROJECT, "bob", "alice").await.expect("created");
    assert_eq!(answered(&aka, "bob", false).await.canonical_id, "alice");

    let [first, second] = [&pair.primary, &pair.replica];
    turn_read_only(first).await;
    eventually("the replica has applied all", async || {
        let (ahead, behind) = (seq(first, &pair).await, seq(second, &pair).await);
        (ahead == behind).then_some(())
    })
    .await;
    second.execute("SET GLOBAL read_only = OFF").await;
    let created =
        eventually("writes are back", async || aka.create(PROJECT, "carol", "alice").await.ok())
            .await;
    assert_eq!(aka.metric("aka_failovers_total", &[]).await, 1.0);
    for (alias, token) in [("bob", &kept), ("carol", &created)] {
        let token = &token.consistency_token;
        let read = aka.resolve_as_of(PROJECT, alias, token).await.expect("it is there");
        assert_eq!(read.canonical_id, "alice");
    }
    assert_eq!(aka.metric("aka_feed_epochs_total", &[]).await, 0.0, "the history goes on");

    turn_read_only(second).await;
    first.execute("SET GLOBAL read_only = OFF").await;
    eventually("the first server's answer", async || {
        aka.resolve(PROJECT, "carol").await.ok().filter(|it| !it.is_alias && !it.degraded)
    })
    .await;
    assert_eq!(aka.metric("aka_failovers_total", &[]).await, 2.0);
    assert!(aka.metric("aka_feed_epochs_total", &[]).await >= 1.0, "it is another history");
    let read = aka.resolve_as_of(PROJECT, "carol", &created.consistency_token).await;
    let refused = read.expect_err("the write of this token is lost");
    assert_refused(&refused, Code::Unavailable, "TOKEN_AHEAD");
    assert_eq!(answered(&aka, "bob", false).await.canonical_id, "alice");
    let created = aka.create(PROJECT, "dora", "alice").await.expect("writes go on");
    let token = &created.consistency_token;
    let read = aka.resolve_as_of(PROJECT, "dora", token).await.expect("it is there");
    assert_eq!(read.canonical_id, "alice");
}

/// Not even an administrator writes then. The connections stay open.
async fn turn_read_only(server: &DbServer) {
    let statement = match server.engine() {
        Engine::MySql => "SET GLOBAL super_read_only = ON",
        Engine::MariaDb => "SET GLOBAL read_only = ON",
    };
    server.execute(statement).await;
}

/// The seq of the pair's shard on one of its servers.
async fn seq(server: &DbServer, pair: &ReplicaPair) -> i64 {
    let query = format!("SELECT seq FROM {}.shard_meta", pair.database());
    let query = sqlx::query_scalar::<_, i64>(sqlx::AssertSqlSafe(query));
    query.fetch_one(&mut server.connect().await).await.expect("the clock row")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_demoted_mysql_is_left() {
    a_demoted_server_is_left(Engine::MySql).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_demoted_mariadb_is_left() {
    a_demoted_server_is_left(Engine::MariaDb).await;
}

/// A replica that has not got the tables yet lags, and is not wrong.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_without_tables_holds_up_no_start() {
    let started = tokio::task::spawn_blocking(|| {
        [DbServer::start(Engine::MariaDb), DbServer::start(Engine::MariaDb)]
    });
    let [primary, replica] = started.await.expect("both servers start");
    let name = Database::on(&[&primary]).await.names().remove(0);
    replica.execute(&format!("CREATE DATABASE {name}; SET GLOBAL read_only = ON")).await;
    let (first, second) = (replica.port(), primary.port());
    let url = format!("mysql://root@127.0.0.1:{first},127.0.0.1:{second}/{name}");
    let database = Database::at(vec![url]);
    let aka = Aka::serve_with_defaults(&database, &UNHURRIED).await;
    aka.create(PROJECT, "bob", "alice").await.expect("created");
    assert_eq!(answered(&aka, "bob", false).await.canonical_id, "alice");
    for command in ["check", "export", "migrate"] {
        let done = run_aka(command, &database.flags()).await;
        assert!(done.status.success(), "{command}: {done:?}");
    }
}
