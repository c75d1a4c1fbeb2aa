//! Rows that touch the same id take effect in the file's order, though several calls are under way.

use super::{Files, aliases, assert_aliases};
use aka_test_support::{
    Aka, Backend, Database, DbServer, Engine, PROJECT, check_is_clean, eventually, shared_server,
    start, start_with,
};

fn row(alias: &str, canonical: &str) -> String {
    format!(
        "{{\"project_id\":{PROJECT},\"alias_id\":\"{alias}\",\"canonical_id\":\"{canonical}\"}}\n"
    )
}

/// The shard that is down while rows are sent.
const SICK: usize = 1;

/// `b → c` cannot be created as long as the shard of `c` is down, and is sent again and again. If
/// `a → b` overtakes it, `b` is canonical, and `b → c` is refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_is_retried_is_not_overtaken() {
    let servers = || (shared_server(Engine::MySql), DbServer::start(Engine::MySql));
    let (shared, sick) = tokio::task::spawn_blocking(servers).await.expect("two servers");
    let database = Database::on(&[shared, &sick]).await;
    let server = Aka::serve(&database, &["--connect-timeout-ms", "1000"]).await;
    let on = |shard, stem: &str, count| database.ids_on(shard, PROJECT, stem, count);
    let mut sick = sick;
    // In the same call, in the next one, and in the one after that.
    for between in [0, 1_500, 2_500] {
        let id = |shard, stem: &str| on(shard, &format!("{stem}-{between}"), 1).remove(0);
        let (a, b, c) = (id(0, "a"), id(0, "b"), id(SICK, "c"));
        let (last, person) = (id(0, "last"), id(0, "person"));
        // Rows that the server refuses at once.
        let others: String = (0..between).map(|n| row(&n.to_string(), &n.to_string())).collect();
        let rows = [row(&b, &c), others, row(&a, &b), row(&last, &person)].concat();

        sick = on_thread(sick, DbServer::kill).await;
        let answered = answered_calls(&server).await;
        let files = Files::new();
        let import = files.import(&server, &[], rows);
        let heal = async {
            // Two calls have had answers, and a row behind `a → b` is done. So `a → b` would be too.
            eventually("the other rows are answered", async || {
                let answer = server.resolve(PROJECT, &last).await.ok()?;
                let calls = answered_calls(&server).await - answered;
                (answer.is_alias && calls >= 2.0).then_some(())
            })
            .await;
            on_thread(sick, DbServer::restart).await
        };
        let (ended, restarted) = tokio::join!(import, heal);
        sick = restarted;
        let counts = format!("3 created, 0 unchanged, {between} refused");
        assert!(ended.text().starts_with(&counts), "{ended}");
        for alias in [&a, &b] {
            let answer = server.resolve(PROJECT, alias).await.expect("answered");
            assert_eq!(answer.canonical_id, c.as_bytes(), "{alias} after {between} rows");
        }
    }
}

/// How many calls that create aliases have been answered.
async fn answered_calls(server: &Aka) -> f64 {
    let method = ["grpc_method=\"BatchCreateAliases\""];
    server.metric("grpc_server_handled_total", &method).await
}

async fn on_thread(server: DbServer, what: fn(&DbServer)) -> DbServer {
    let done = tokio::task::spawn_blocking(move || {
        what(&server);
        server
    });
    done.await.expect("done")
}

on_backends!(chains_take_effect_in_order: sqlite mysql_3);

/// First all `a → b`, then all `b → c`: each of these comes too late.
async fn chains_take_effect_in_order(backend: Backend) {
    const PAIRS: usize = 1_500;
    let (database, server) = start(backend).await;
    let files = Files::new();
    let first = (0..PAIRS).map(|n| row(&format!("a{n}"), &format!("b{n}")));
    let second = (0..PAIRS).map(|n| row(&format!("b{n}"), &format!("c{n}")));
    let rows: String = first.chain(second).collect();
    let ended = files.import(&server, &[], rows).await;
    assert!(ended.text().starts_with("1500 created, 0 unchanged, 1500 refused"), "{ended}");
    let numbers = PAIRS as u64 + 1..=2 * PAIRS as u64;
    let right: Vec<_> = numbers.map(|number| (number, "ALIAS_IS_CANONICAL".to_owned())).collect();
    assert_eq!(files.reasons(), right);
    check_is_clean(&database).await;
}

on_backends!(the_first_rows_of_a_file_fit_the_limit: sqlite);

/// More aliases of one canonical id than fit, ten in each call. The other rows are refused at once.
async fn the_first_rows_of_a_file_fit_the_limit(backend: Backend) {
    let (database, server) = start_with(backend, &["--max-aliases", "15"]).await;
    let files = Files::new();
    let is_one = |n: &u64| n.is_multiple_of(100);
    let line = |n: u64| {
        let id = format!("a{n:04}");
        row(&id, if is_one(&n) { "popular" } else { &id })
    };
    let rows: String = (1..=3_000).map(line).collect();
    let ended = files.import(&server, &[], rows).await;
    assert!(ended.text().starts_with("15 created, 0 unchanged, 2985 refused"), "{ended}");
    let mut reasons = files.reasons();
    reasons.retain(|(_, reason)| reason != "SELF_ALIAS");
    let late = (1_501..=3_000).filter(is_one);
    assert_eq!(reasons, late.map(|n| (n, "TOO_MANY_ALIASES".to_owned())).collect::<Vec<_>>());
    assert_eq!(aliases(&database).await.len(), 15);
}

on_backends!(rows_that_say_two_things_of_an_id_are_settled_by_the_first: sqlite);

async fn rows_that_say_two_things_of_an_id_are_settled_by_the_first(backend: Backend) {
    let (database, server) = start(backend).await;
    let files = Files::new();
    let rows = [row("a", "x"), row("a", "y"), row("b", "c"), row("d", "b"), row("c", "e")].concat();
    let ended = files.import(&server, &[], rows).await;
    assert!(ended.text().starts_with("3 created, 0 unchanged, 2 refused"), "{ended}");
    let project = PROJECT.to_string();
    let right =
        [["a", "x"], ["b", "c"], ["d", "c"]].map(|[alias, of]| [project.as_str(), alias, of]);
    assert_aliases(&aliases(&database).await, &right);
}
