//! A shard that cannot be reached hurts only its own ids, and comes back by itself (P8).

use super::{person_of, settled, store_aliases};
use aka_test_support::{
    Aka, Database, DbServer, Engine, PATIENCE, PROJECT, assert_refused, eventually, invariants,
    shared_server,
};
use std::time::{Duration, Instant};
use tonic::{Code, Status};

/// A request for a shard that is down must fail within this time. It is a little more than the
/// timeout to connect, for a busy machine. (The limit of a request is 10 s.)
const QUICKLY: Duration = Duration::from_secs(4);

/// How soon a shard that is back must answer for its ids again.
const HEALED: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_mysql_shard_of_three_goes_away() {
    one_shard_of_three_goes_away(Engine::MySql).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_mariadb_shard_of_three_goes_away() {
    one_shard_of_three_goes_away(Engine::MariaDb).await;
}

/// The server ends a connection that was idle for some seconds. The next write must not notice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_connection_that_mysql_closed_costs_no_write() {
    an_idle_connection_costs_no_write(Engine::MySql).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_connection_that_mariadb_closed_costs_no_write() {
    an_idle_connection_costs_no_write(Engine::MariaDb).await;
}

async fn an_idle_connection_costs_no_write(engine: Engine) {
    let server = tokio::task::spawn_blocking(move || DbServer::start(engine)).await;
    let server = server.expect("a server of its own");
    let database = Database::on(&[&server]).await;
    let aka = Aka::serve(&database, &[]).await;
    settled(&aka, &database).await;
    let mut looking = database.connect(0).await;
    let list = "FROM information_schema.processlist WHERE db = DATABASE()";
    for write in 0..2 {
        let created = aka.create(PROJECT, format!("alias-{write}"), "alice").await;
        created.expect("the connection that was idle is replaced");
        // Only the connections that are open now.
        let newest = looking.number(&format!("SELECT CAST(MAX(id) AS SIGNED) {list}")).await;
        let count = format!("SELECT COUNT(*) {list} AND id <= {newest}");
        let open = looking.number(&count).await;
        eventually("the idle connection is closed", async || {
            (looking.number(&count).await < open).then_some(())
        })
        .await;
    }
    aka.delete(PROJECT, "alias-0", 0).await.expect("the connection that was idle is replaced");
}

/// The shard that goes away.
const SICK: usize = 1;

async fn one_shard_of_three_goes_away(engine: Engine) {
    let servers = move || (shared_server(engine), DbServer::start(engine));
    let (shared, sick) = tokio::task::spawn_blocking(servers).await.expect("two servers");
    let database = Database::on(&[shared, &sick, shared]).await;
    let ids: Vec<Vec<String>> =
        (0..3).map(|shard| database.ids_on(shard, PROJECT, "alias", 20)).collect();
    store_aliases(&database, &ids.concat()).await;
    let limits = ["--query-timeout-ms", "1000", "--connect-timeout-ms", "1000"];
    // No scan for a filter brings ids into memory that nobody asked for.
    let aka = Aka::serve(&database, &[&limits[..], &["--filter", "false"]].concat()).await;
    settled(&aka, &database).await;
    // One id of the sick shard is in memory, with a token from before the outage.
    let (known, cold) = ids[SICK].split_first().expect("twenty");
    let again = aka.create(PROJECT, known, person_of(known)).await.expect("it is so already");
    aka.resolve(PROJECT, known).await.expect("resolved");

    let sick = tokio::task::spawn_blocking(move || {
        sick.kill();
        sick
    });
    let sick = sick.await.expect("killed");
    eventually("aka notices", async || aka.resolve(PROJECT, &cold[0]).await.is_err().then_some(()))
        .await;
    batch_fails_for_the_sick_shard_alone(&aka, &ids, cold).await;
    writes_fail_for_the_sick_shard_alone(&aka, &database, cold, &again.consistency_token).await;
    the_last_known_state_is_marked_degraded(&aka, known, &again.consistency_token).await;

    let restarting = tokio::task::spawn_blocking(move || {
        sick.restart();
        sick
    });
    let _sick = restarting.await.expect("restarted");
    let back = Instant::now();
    eventually("the shard is back", async || {
        let answer = aka.batch_resolve(PROJECT, ids.concat()).await.expect("an answer");
        (answer.failures.is_empty() && !answer.degraded).then_some(())
    })
    .await;
    let healed = back.elapsed();
    assert!(healed < HEALED, "it took {healed:?}");
    eventually("writes are back", async || {
        aka.create(PROJECT, "late", &person_of(&cold[0])).await.ok()
    })
    .await;
    invariants::assert_hold(&database, true).await;
}

async fn batch_fails_for_the_sick_shard_alone(aka: &Aka, ids: &[Vec<String>], cold: &[String]) {
    let begun = Instant::now();
    let asked = [&ids[0], cold, &ids[2]].concat();
    let answer = aka.batch_resolve(PROJECT, &asked).await.expect("an answer");
    let refused = aka.resolve(PROJECT, &cold[1]).await.expect_err("it is not known");
    assert_down(&refused);
    assert!(begun.elapsed() < QUICKLY, "it took {:?}", begun.elapsed());

    let sick = ids[0].len()..ids[0].len() + cold.len();
    let failed: Vec<usize> = answer.failures.iter().map(|failure| failure.index as usize).collect();
    assert_eq!(failed, sick.clone().collect::<Vec<_>>(), "its own ids, and all of them");
    for failure in &answer.failures {
        let seen = (failure.code, failure.reason.as_str());
        assert_eq!(seen, (Code::Unavailable as i32, "SHARD_UNAVAILABLE"));
        assert!(!failure.message.is_empty());
    }
    let found: Vec<_> =
        answer.aliases.iter().map(|f| (f.index as usize, &f.canonical_id[..])).collect();
    let persons: Vec<String> = asked.iter().map(|id| person_of(id)).collect();
    let expected: Vec<_> = (0..asked.len())
        .filter(|index| !sick.contains(index))
        .map(|index| (index, persons[index].as_bytes()))
        .collect();
    assert_eq!(found, expected, "the others are answered");
}

async fn writes_fail_for_the_sick_shard_alone(
    aka: &Aka,
    database: &Database,
    cold: &[String],
    token: &str,
) {
    let healthy = database.ids_on(0, PROJECT, "new", 4);
    aka.create(PROJECT, &healthy[0], &healthy[1]).await.expect("another shard's");
    for (alias, canonical) in [(&cold[0], &healthy[2]), (&healthy[2], &cold[0])] {
        let begun = Instant::now();
        assert_down(&aka.create(PROJECT, alias, canonical).await.expect_err("half of it is down"));
        assert!(begun.elapsed() < QUICKLY, "it took {:?}", begun.elapsed());
    }
    assert_down(&aka.get(PROJECT, &cold[0]).await.expect_err("down"));
    assert_down(&aka.delete(PROJECT, &cold[0], 0).await.expect_err("down"));
    // A list needs the shards of its aliases, too.
    let list = aka.list(PROJECT, person_of(&cold[0]), 0, "").await;
    assert_down(&list.expect_err("the alias is on a shard that is down"));
    // The token names the sick shard, so it does not matter to the others.
    let other = aka.resolve_as_of(PROJECT, &healthy[0], token).await.expect("resolved");
    assert_eq!(other.canonical_id, healthy[1]);
}

/// The last known state is answered as degraded, but not to a reader with a token.
async fn the_last_known_state_is_marked_degraded(aka: &Aka, known: &str, token: &str) {
    let degraded = eventually("it is older than the limit", async || {
        let answer = aka.resolve(PROJECT, known).await.expect("it was known");
        assert_eq!(answer.canonical_id, person_of(known));
        answer.degraded.then_some(answer)
    })
    .await;
    assert!(degraded.is_alias);
    let answer = aka.batch_resolve(PROJECT, [known]).await.expect("an answer");
    assert!(answer.degraded && answer.failures.is_empty());
    match aka.resolve_as_of(PROJECT, known, token).await {
        Ok(answer) => panic!("a token was answered from old memory: {answer:?}"),
        Err(refused) => assert_down(&refused),
    }
}

#[track_caller]
fn assert_down(refused: &Status) {
    let details = assert_refused(refused, Code::Unavailable, "SHARD_UNAVAILABLE");
    let delay = details.retry_info().and_then(|info| info.retry_delay);
    assert!(delay.is_some_and(|delay| delay < PATIENCE), "{delay:?}");
}
