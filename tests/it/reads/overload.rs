//! Overload of a shard: the excess is refused at once, the rest is served (P10).

use super::{person_of, settled, store_aliases};
use aka_test_support::{
    Aka, Backend, Database, Engine, PATIENCE, PROJECT, assert_refused, eventually,
};
use std::collections::HashSet;
use std::time::{Duration, Instant};
use tonic::Code;

/// Keys that may wait for the lanes of a shard.
const ROOM: usize = 20_000;

/// Batches of 10,000 ids, a third of them on each shard.
const BATCHES: usize = 7;

/// Refusals come at once, although the shard's queries take as long as the test.
const AT_ONCE: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_without_room_are_refused_at_once() {
    let database = Database::create(Backend::Shards(Engine::MySql, 3)).await;
    let ids: Vec<Vec<String>> =
        (0..3).map(|shard| database.ids_on(shard, PROJECT, "alias", 3)).collect();
    store_aliases(&database, &ids.concat()).await;
    let patient = ["--query-timeout-ms", "60000", "--request-timeout-ms", "120000"];
    // No filter: it would answer for ids that are no aliases.
    let steady = ["--staleness-limit-ms", "120000", "--filter", "false"];
    let aka = Aka::serve(&database, &[&patient[..], &steady[..]].concat()).await;
    settled(&aka, &database).await;
    let [known, cold, late] = &ids[0][..] else { panic!("three") };
    aka.resolve(PROJECT, known).await.expect("resolved");

    // Shard 0 does not answer.
    let mut owner = database.connect(0).await;
    owner.execute("LOCK TABLES alias WRITE").await;
    let flood: Vec<_> = (0..BATCHES).map(|batch| Flood::begin(&aka, batch)).collect();
    eventually("the queue is full", async || {
        let waiting = aka.metric("aka_lookup_queue_keys", &["shard=\"0\""]).await;
        (waiting as usize == ROOM).then_some(())
    })
    .await;
    let begun = Instant::now();
    let refused = aka.resolve(PROJECT, cold).await.expect_err("there is no room");
    let details = assert_refused(&refused, Code::ResourceExhausted, "OVERLOADED");
    let delay = details.retry_info().and_then(|info| info.retry_delay);
    assert!(delay.is_some_and(|delay| delay < PATIENCE), "{delay:?}");
    // The rest is served: known ids, and ids of other shards.
    let asked = [known, &ids[1][0], cold, &ids[2][0]];
    let answer = aka.batch_resolve(PROJECT, asked).await.expect("an answer");
    let failed: Vec<_> = answer.failures.iter().map(|f| (f.index, f.reason.as_str())).collect();
    assert_eq!(failed, [(2, "OVERLOADED")]);
    let found: Vec<_> = answer.aliases.iter().map(|found| &found.canonical_id[..]).collect();
    let expected = [known, &ids[1][0], &ids[2][0]].map(|id| person_of(id));
    assert_eq!(found, expected.each_ref().map(|person| person.as_bytes()));
    assert!(begun.elapsed() < AT_ONCE, "it took {:?}", begun.elapsed());
    owner.execute("UNLOCK TABLES").await;

    // Queued requests are answered. The others were refused.
    let (mut asked, mut refused) = (0, 0);
    for batch in flood {
        let answer = batch.answer().await;
        let reasons: HashSet<&str> = answer.failures.iter().map(|f| f.reason.as_str()).collect();
        assert!(reasons.is_subset(&HashSet::from(["OVERLOADED"])), "{reasons:?}");
        (asked, refused) = (asked + Flood::IDS, refused + answer.failures.len());
    }
    assert!(refused > 0 && asked - refused >= ROOM, "{refused} of {asked} were refused");
    let resolved = aka.resolve(PROJECT, late).await.expect("there is room again");
    assert_eq!(resolved.canonical_id, person_of(late));
}

/// New ids of all shards.
struct Flood(tokio::task::JoinHandle<aka_wire::pb::BatchResolveResponse>);

impl Flood {
    const IDS: usize = 10_000;

    fn begin(aka: &Aka, batch: usize) -> Self {
        let ids = (0..Self::IDS).map(|number| format!("stranger-{batch}-{number}"));
        let request = aka_test_support::batch_request(PROJECT, ids);
        let mut resolver = aka.resolver();
        Self(tokio::spawn(async move {
            resolver.batch_resolve(request).await.expect("an answer").into_inner()
        }))
    }

    async fn answer(self) -> aka_wire::pb::BatchResolveResponse {
        self.0.await.expect("no panic")
    }
}

/// The change log cannot be read, so memory may not answer and every id is looked up. The rate of
/// these lookups must stay below the limit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_past_the_staleness_limit_are_limited_in_rate() {
    let database = Database::create(Backend::Shards(Engine::MySql, 1)).await;
    let flags = ["--staleness-limit-ms", "50", "--degraded-limit-ms", "0", "--filter", "false"];
    let aka = Aka::serve(&database, &[&flags[..], &["--stale-reads-per-s", "5"]].concat()).await;
    settled(&aka, &database).await;
    let ids: Vec<String> = (0..1_000).map(|number| format!("stranger-{number}")).collect();
    let answer = aka.batch_resolve(PROJECT, &ids).await.expect("resolved");
    assert!(answer.failures.is_empty(), "the feed is there: {} failed", answer.failures.len());

    let mut owner = database.connect(0).await;
    owner.execute("LOCK TABLES alias_change WRITE").await;
    eventually("memory is stale", async || {
        let age = aka.metric("aka_feed_staleness_seconds", &["shard=\"0\""]).await;
        (age > 0.1).then_some(())
    })
    .await;
    let answer = aka.batch_resolve(PROJECT, &ids).await.expect("resolved");
    assert!((900..=999).contains(&answer.failures.len()), "{} failed", answer.failures.len());
    for failure in &answer.failures {
        assert_eq!(
            (failure.code, &failure.reason[..]),
            (Code::ResourceExhausted as i32, "OVERLOADED")
        );
    }

    owner.execute("UNLOCK TABLES").await;
    eventually("all are answered again", async || {
        let answer = aka.batch_resolve(PROJECT, &ids).await.expect("resolved");
        answer.failures.is_empty().then_some(())
    })
    .await;
}
