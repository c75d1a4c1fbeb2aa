//! `aka alias create`, `get`, `list`, `update` and `delete`.

use super::client;
use aka_test_support::{Backend, PROJECT, start, start_with};
use serde_json::json;

on_backends!(answers_are_sentences_for_people: sqlite mysql_3);

async fn answers_are_sentences_for_people(backend: Backend) {
    let (_database, aka) = start(backend).await;
    let created = client(&aka, ["alias", "create", "b1", "b2"]).run().await.succeeded();
    let version = aka.get(PROJECT, "b1").await.expect("it is there").version;
    let sentence = format!("\"b1\" is now an alias of \"b2\" (version {version})\n");
    assert_eq!(created, format!("created: {sentence}"));
    let again = client(&aka, ["alias", "create", "b1", "b2"]).run().await.succeeded();
    let sentence = format!("\"b1\" is already an alias of \"b2\" (version {version})\n");
    assert_eq!(again, format!("unchanged: {sentence}"));

    let taken = client(&aka, ["alias", "create", "b1", "b3"]).run().await;
    taken.failed(1, &["ALIAS_TAKEN: \"b1\": "]);
    let followed = client(&aka, ["alias", "create", "b0", "b1"]).run().await.succeeded();
    assert!(followed.starts_with("created: \"b0\" is now an alias of \"b2\""), "{followed}");
    assert!(followed.ends_with("\"b1\" is itself an alias and was followed to \"b2\"\n"));

    let got = client(&aka, ["alias", "get", "b1"]).run().await.succeeded();
    let start = format!("\"b1\" is an alias of \"b2\" (version {version}, created 2");
    assert!(got.starts_with(&start) && got.ends_with("Z)\n"), "{got}");
    let listed = client(&aka, ["alias", "list", "b2", "--page-size", "1"]).run().await.succeeded();
    let rows: Vec<Vec<_>> = listed.lines().map(|line| line.split('\t').collect()).collect();
    assert_eq!(rows.iter().map(|row| row[0]).collect::<Vec<_>>(), ["b0", "b1"]);
    assert_eq!(rows[1][1], version.to_string());
    assert!(rows.iter().all(|row| row.len() == 3 && row[2].ends_with('Z')), "{listed}");

    change_in_sentences(&aka, version).await;
}

async fn change_in_sentences(aka: &aka_test_support::Aka, version: u64) {
    let version = version.to_string();
    let update = ["alias", "update", "b1", "b3", "--expected-version", &version];
    let updated = client(aka, update).run().await.succeeded();
    let now = aka.get(PROJECT, "b1").await.expect("it is there").version.to_string();
    let sentence = format!("\"b1\" is now an alias of \"b3\" (version {now})\n");
    assert_eq!(updated, format!("updated: {sentence}"));
    let same = ["alias", "update", "b1", "b3", "--expected-version", &now];
    let unchanged = client(aka, same).run().await.succeeded();
    assert!(
        unchanged.starts_with("unchanged: \"b1\" is already an alias of \"b3\""),
        "{unchanged}"
    );

    let stale = ["alias", "update", "b1", "b4", "--expected-version", &version];
    client(aka, stale).run().await.failed(1, &["VERSION_MISMATCH: \"b1\": "]);
    let stale = ["alias", "delete", "b1", "--expected-version", &version];
    client(aka, stale).run().await.failed(1, &["VERSION_MISMATCH: \"b1\": "]);
    let deleted = client(aka, ["alias", "delete", "b1"]).run().await.succeeded();
    assert_eq!(deleted, "deleted: \"b1\" is no longer an alias\n");
    client(aka, ["alias", "delete", "b1"]).run().await.failed(1, &["ALIAS_NOT_FOUND: \"b1\": "]);
    client(aka, ["alias", "get", "b1"]).run().await.failed(1, &["ALIAS_NOT_FOUND: \"b1\": "]);
    let none = client(aka, ["alias", "list", "b3"]).run().await;
    assert_eq!((none.code, none.stdout.len()), (Some(0), 0), "{none}");
    assert_eq!(none.stderr, "aka: \"b3\" has no aliases\n");
}

on_backends!(answers_are_json_for_programs: sqlite);

async fn answers_are_json_for_programs(backend: Backend) {
    let (_database, aka) = start(backend).await;
    let run = async |args: &[&str]| {
        let ended = client(&aka, ["alias"]).args(args).args(["--output", "json"]).run().await;
        ended.succeeded();
        let [line] = &ended.json()[..] else { panic!("not one line: {ended}") };
        line.clone()
    };
    let created = run(&["create", "b1", "b2"]).await;
    let alias = aka.get(PROJECT, "b1").await.expect("it is there");
    assert_eq!(created["created"], true);
    assert_eq!(created["version"], alias.version.to_string());
    assert!(created["consistency_token"].as_str().is_some_and(|token| !token.is_empty()));
    assert_eq!(run(&["create", "b1", "b2"]).await["created"], false);
    assert_eq!(run(&["create", "b0", "b1"]).await["followed_from"], "b1");

    let got = run(&["get", "b1"]).await;
    for (field, value) in
        [("project_id", "7"), ("alias_id", "b1"), ("canonical_id", "b2"), ("version", "1")]
    {
        assert_eq!(got[field], value, "{got}");
    }
    assert_eq!(got["create_time"], got["update_time"], "{got}");

    let dry = run(&["create", "b5", "b2", "--dry-run"]).await;
    assert_eq!((&dry["dry_run"], &dry["created"]), (&json!(true), &json!(true)), "{dry}");
    assert!(dry.get("consistency_token").is_none(), "{dry}");
    let updated = run(&["update", "b1", "b3", "--expected-version", "1"]).await;
    assert_eq!(updated["canonical_id"], "b3", "{updated}");
    let deleted = run(&["delete", "b1"]).await;
    assert_eq!((&deleted["deleted"], &deleted["alias_id"]), (&json!(true), &json!("b1")));
    assert!(deleted["consistency_token"].as_str().is_some_and(|token| !token.is_empty()));

    let refused = client(&aka, ["alias", "get", "b1", "--output", "json"]).run().await;
    assert_eq!((refused.code, refused.stdout.len()), (Some(1), 0), "{refused}");
    let error: serde_json::Value = serde_json::from_str(&refused.stderr).expect("JSON");
    assert_eq!(error["error"]["code"], "NOT_FOUND");
    assert_eq!(error["error"]["reason"], "ALIAS_NOT_FOUND");
    assert_eq!(error["error"]["id"], "b1");
}

on_backends!(a_dry_run_writes_nothing: sqlite mysql_3);

async fn a_dry_run_writes_nothing(backend: Backend) {
    let (database, aka) = start(backend).await;
    aka.create(PROJECT, "b1", "b2").await.expect("created");
    let before = database.tables().await;
    let run = async |alias, canonical| {
        client(&aka, ["alias", "create", alias, canonical, "--dry-run"]).run().await
    };
    let would = run("b3", "b1").await.succeeded();
    assert!(would.starts_with("would create: \"b3\" would be an alias of \"b2\"; "), "{would}");
    let unchanged = run("b1", "b2").await.succeeded();
    assert!(unchanged.starts_with("unchanged: "), "{unchanged}");
    run("b1", "b3").await.failed(1, &["ALIAS_TAKEN"]);
    run("b2", "b3").await.failed(1, &["ALIAS_IS_CANONICAL"]);
    run("b2", "b1").await.failed(1, &["SELF_ALIAS"]);
    let lines = client(&aka, ["alias", "create", "--dry-run"]).input("b3\tb1\nb4\tb3\n");
    let lines = lines.run().await.succeeded();
    assert_eq!(lines.matches("would create: ").count(), 2, "{lines}");
    assert_eq!(database.tables().await, before);
}

on_backends!(many_aliases_are_created_from_stdin: sqlite mysql_3);

async fn many_aliases_are_created_from_stdin(backend: Backend) {
    let (_database, aka) = start_with(backend, &["--max-aliases", "5000"]).await;
    // A refused line does not stop the rest, an empty one is skipped, one may build on another.
    let input = "a1\tp1\n\na2\ta1\nnull\tp1\na1\tp2\na1\tp1\np1\tp9\na3\tp3\r\r\n";
    let ended = client(&aka, ["alias", "create"]).input(input).run().await;
    assert_eq!(ended.code, Some(1), "{ended}");
    assert_eq!(ended.stderr, "aka: PARTLY_FAILED: 4 of 7 failed\n");
    let text = ended.text();
    let lines: Vec<_> = text.lines().collect();
    let [created, followed, placeholder, taken, unchanged, canonical, control] = lines[..] else {
        panic!("not a line for each: {ended}");
    };
    assert!(created.starts_with("created: \"a1\" is now an alias of \"p1\""), "{created}");
    assert!(followed.starts_with("created: \"a2\" is now an alias of \"p1\""), "{followed}");
    assert!(
        placeholder.starts_with("refused: line 4, \"null\": PLACEHOLDER_ID: "),
        "{placeholder}"
    );
    assert!(taken.starts_with("refused: line 5, \"a1\": ALIAS_TAKEN: "), "{taken}");
    assert!(unchanged.starts_with("unchanged: \"a1\" is already"), "{unchanged}");
    assert!(canonical.starts_with("refused: line 7, \"p1\": ALIAS_IS_CANONICAL: "), "{canonical}");
    // One carriage return is taken off a line, and no more.
    assert!(control.starts_with("refused: line 8, \"a3\": INVALID_ID: "), "{control}");

    let input = "b1\tp1\nb2 p1\nb3\tp1\n";
    let ended = client(&aka, ["alias", "create", "-"]).input(input).run().await;
    assert_eq!(ended.code, Some(2), "{ended}");
    assert!(ended.stderr.starts_with("aka: USAGE: line 2 is not ALIAS<TAB>CANONICAL: \"b2 p1\""));
    assert!(ended.text().starts_with("created: \"b1\"") && ended.text().lines().count() == 1);

    // More than one batch holds. Each line builds on one before it, which may be in another batch.
    let base = |n: u32| (n - 1) / 500 * 500;
    let input: String = (1..=2_500).map(|n| format!("c{n}\tc{}\n", base(n))).collect();
    let ended = client(&aka, ["alias", "create", "--output", "json"]).input(input).run().await;
    ended.succeeded();
    let lines = ended.json();
    assert_eq!(lines.len(), 2_500);
    for (n, line) in (1..).zip(&lines) {
        assert_eq!(line["alias_id"], format!("c{n}"));
        assert_eq!(
            (&line["canonical_id"], &line["created"]),
            (&json!("c0"), &json!(true)),
            "{line}"
        );
    }
}

on_backends!(lines_take_effect_in_their_order: sqlite mysql_3);

async fn lines_take_effect_in_their_order(backend: Backend) {
    let (_database, aka) = start_with(backend, &["--max-aliases", "3"]).await;
    // Three of the twenty find room. They must be the first three.
    let input: String = (0..20).map(|n| format!("a{n}\tp\n")).collect();
    let input = format!("b0\tq\nq\tr\n{input}b1\tp\n");
    let ended = client(&aka, ["alias", "create", "--output", "json"]).input(input).run().await;
    assert_eq!(ended.code, Some(1), "{ended}");
    let lines = ended.json();
    let created: Vec<_> = lines.iter().filter(|line| line["created"] == true).collect();
    let ids: Vec<_> = created.iter().map(|line| line["alias_id"].as_str()).collect();
    assert_eq!(ids, [Some("b0"), Some("a0"), Some("a1"), Some("a2")], "{ended}");
    for line in lines.iter().filter(|line| line["created"] != true).skip(1) {
        assert_eq!(line["error"]["reason"], "TOO_MANY_ALIASES", "{line}");
    }
    assert_eq!(lines[1]["error"]["reason"], "ALIAS_IS_CANONICAL", "{ended}");

    // The same where they all name an alias that is followed.
    aka.create(PROJECT, "user", "device").await.expect("created");
    let input: String = (0..20).map(|n| format!("u{n}\tuser\n")).collect();
    let ended = client(&aka, ["alias", "create", "--output", "json"]).input(input).run().await;
    let lines = ended.json();
    let created: Vec<_> = lines.iter().filter(|line| line["created"] == true).collect();
    let ids: Vec<_> = created.iter().map(|line| line["alias_id"].as_str()).collect();
    assert_eq!(ids, [Some("u0"), Some("u1")], "{ended}");
}

on_backends!(several_ids_are_handled_one_by_one: sqlite);

async fn several_ids_are_handled_one_by_one(backend: Backend) {
    let (_database, aka) = start(backend).await;
    for alias in ["a1", "a2", "a3"] {
        aka.create(PROJECT, alias, "p1").await.expect("created");
    }
    let got = client(&aka, ["alias", "get", "a1", "none", "a2"]).run().await;
    assert_eq!(got.code, Some(1), "{got}");
    assert_eq!(got.text().lines().count(), 2, "{got}");
    let said: Vec<_> = got.stderr.lines().collect();
    assert!(said[0].starts_with("aka: ALIAS_NOT_FOUND: \"none\": "), "{got}");
    assert_eq!(said[1..], ["aka: PARTLY_FAILED: 1 of 3 failed"]);

    let deleted = client(&aka, ["alias", "delete", "-"]).input("a1\na2\n").run().await;
    assert_eq!(deleted.succeeded().lines().count(), 2, "{deleted}");
    assert_eq!(aka.list_all(PROJECT, "p1", 10).await, ["a3"]);
    let versions = client(&aka, ["alias", "delete", "a3", "p1", "--expected-version", "3"]);
    versions.run().await.failed(2, &["USAGE", "--expected-version"]);
}

on_backends!(tokens_are_shown_and_taken: sqlite mysql_3);

async fn tokens_are_shown_and_taken(backend: Backend) {
    let (_database, aka) = start(backend).await;
    let shown =
        client(&aka, ["alias", "create", "b1", "b2", "--show-token"]).run().await.succeeded();
    let token =
        shown.lines().last().and_then(|line| line.strip_prefix("token: ")).expect("a token");
    let with_token = ["resolve", "b1", "--token", token];
    assert_eq!(client(&aka, with_token).run().await.succeeded(), "b2\n");
    let malformed = client(&aka, ["resolve", "b1", "--token", "nonsense"]).run().await;
    malformed.failed(1, &["INVALID_TOKEN"]);
    let batch = client(&aka, ["alias", "create", "--show-token"]).input("b3\tb2\nb4\tb2\n");
    let batch = batch.run().await.succeeded();
    assert_eq!(batch.lines().count(), 3, "{batch}");
    let token =
        batch.lines().last().and_then(|line| line.strip_prefix("token: ")).expect("a token");
    let with_token = ["resolve", "b4", "--token", token];
    assert_eq!(client(&aka, with_token).run().await.succeeded(), "b2\n");
}
