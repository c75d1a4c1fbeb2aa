//! What lookups of the page are answered.

use super::requests::{OWN, ask, look_up, send};
use aka_test_support::{
    Aka, Backend, Database, DbServer, Engine, PROJECT, backend, eventually, slot_of, start,
    start_with,
};
use serde_json::{Value, json};

on_backends!(the_chain_is_shown_whole: sqlite mysql_3);

async fn the_chain_is_shown_whole(backend: Backend) {
    let (_database, aka) = start(backend).await;
    for alias in ["bob", "carol"] {
        aka.create(PROJECT, alias, "alice").await.expect("created");
    }
    let version = aka.get(PROJECT, "bob").await.expect("an alias").version;
    let found = look_up(&aka, PROJECT, "bob").await;
    assert_eq!((&found["kind"], &found["canonical_id"]), (&json!("alias"), &json!("alice")));
    assert_eq!((&found["project_id"], &found["id"]), (&json!("7"), &json!("bob")));
    assert_eq!(found["alias"]["version"], json!(version.to_string()));
    assert_eq!(found["place"]["slot"], json!(slot_of(PROJECT, b"bob")));
    assert_eq!(found["canonical_place"]["slot"], json!(slot_of(PROJECT, b"alice")));
    let aliases = found["aliases"].as_array().expect("a list");
    let ids: Vec<&Value> = aliases.iter().map(|alias| &alias["id"]).collect();
    assert_eq!(ids, [&json!("bob"), &json!("carol")]);
    for alias in aliases {
        let id = alias["id"].as_str().expect("text");
        let row = aka.get(PROJECT, id).await.expect("an alias");
        let created = row.create_time.expect("a time");
        let created = created.seconds * 1_000_000 + i64::from(created.nanos) / 1_000;
        assert_eq!(alias["created_us"], json!(created), "{id}");
        assert_eq!(alias["slot"], json!(slot_of(PROJECT, id.as_bytes())), "{id}");
        assert!(alias["shard"].is_u64(), "{alias}");
    }
    let found = look_up(&aka, PROJECT, "alice").await;
    assert_eq!((&found["kind"], &found["alias"]), (&json!("canonical"), &Value::Null));
    assert_eq!(found["aliases"].as_array().map(Vec::len), Some(2));
    for (project, id) in [(PROJECT, "nobody"), (PROJECT, "Bob"), (PROJECT + 1, "bob")] {
        let found = look_up(&aka, project, id).await;
        assert_eq!((&found["kind"], &found["canonical_id"]), (&json!("alone"), &json!(id)));
        assert_eq!(found["aliases"], json!([]), "{id}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_said_where_the_answer_came_from() {
    // A long limit, because the feed may be late on a busy machine and memory must answer all the same.
    let flags = ["--staleness-limit-ms", "60000"];
    let (_database, aka) = start_with(backend::sqlite(), &flags).await;
    aka.create(PROJECT, "bob", "alice").await.expect("created");
    let found_by = async |id: &str| {
        let found = look_up(&aka, PROJECT, id).await;
        (found["found"]["source"].clone(), found["found"]["outcome"].clone())
    };
    // The write has taken the entry away.
    assert_eq!(found_by("bob").await, (json!("database"), json!("loaded")));
    let hit = (json!("memory"), json!("hit"));
    eventually("memory answers", async || (found_by("bob").await == hit).then_some(())).await;
    let filtered = (json!("memory"), json!("filtered"));
    eventually("the filter answers", async || (found_by("nobody").await == filtered).then_some(()))
        .await;
    assert_eq!(found_by("null").await, (json!("rule"), json!("invalid")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_list_is_shown_in_parts() {
    let flags = ["--max-aliases", "1000"];
    let (_database, aka) = start_with(backend::sqlite(), &flags).await;
    let requests = (0..501).map(|n| (format!("device-{n:03}"), "alice".to_owned()));
    for (alias, canonical) in requests {
        aka.create(PROJECT, &alias, &canonical).await.expect("created");
    }
    let first = look_up(&aka, PROJECT, "alice").await;
    assert_eq!(first["aliases"].as_array().map(Vec::len), Some(500));
    let page_token = first["next_page_token"].as_str().expect("there is more");
    let form = json!({ "project_id": "7", "distinct_id": "alice", "page_token": page_token });
    let next = send(&aka, "POST /ui/lookup", OWN, form.to_string().as_bytes()).await.json();
    assert_eq!(next["aliases"][0]["id"], json!("device-500"));
    assert_eq!(next["next_page_token"], json!(""));
    let of_another = json!({ "project_id": "7", "distinct_id": "bob", "page_token": page_token });
    let refused = send(&aka, "POST /ui/lookup", OWN, of_another.to_string().as_bytes()).await;
    refused.refuses(400, "INVALID_PAGE_TOKEN");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_ids_come_back_as_they_are_or_are_never_aliases() {
    let (_database, aka) = start(backend::sqlite()).await;
    let longest = "é".repeat(127) + "e";
    for id in
        ["<img src=x onerror=alert(1)>", "\u{202e}evil\u{2066}", "\"}{\\u0000", "bob ", &longest]
    {
        aka.create(PROJECT, id, "</script>").await.expect("created");
        let found = look_up(&aka, PROJECT, id).await;
        assert_eq!((&found["id"], &found["kind"]), (&json!(id), &json!("alias")));
        assert_eq!(found["canonical_id"], json!("</script>"));
    }
    for (id, why) in [
        ("", "It is empty."),
        ("a\0b", "It holds a control character."),
        ("a\u{85}b", "It holds a control character."),
        (&*"é".repeat(128), "It is 256 bytes long, the limit is 255."),
        (" NULL ", "It is a placeholder"),
    ] {
        let found = look_up(&aka, PROJECT, id).await;
        assert_eq!((&found["kind"], &found["canonical_id"]), (&json!("never"), &json!(id)));
        assert!(found["never"].as_str().is_some_and(|never| never.starts_with(why)), "{found}");
    }
    let form = |id: &[u8]| [br#"{"project_id":"7","distinct_id":""#, id, br#""}"#].concat();
    for id in [&b"\xff"[..], b"\xed\xa0\x80", br"\ud800", b"a\nb"] {
        let refused = send(&aka, "POST /ui/lookup", OWN, &form(id)).await;
        refused.refuses(400, "MALFORMED_MESSAGE");
    }
    ask(&aka, "7", &"x".repeat(4096), None).await.refuses(413, "MESSAGE_TOO_LARGE");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_could_not_be_found_out_is_never_called_no_alias() {
    let server = tokio::task::spawn_blocking(|| DbServer::start(Engine::MariaDb)).await;
    let server = server.expect("the server starts");
    let database = Database::on(&[&server]).await;
    // Memory is stale soon, and answers all the same. No filter, because it would answer for "nobody".
    let flags = ["--filter", "false", "--staleness-limit-ms", "500", "--query-timeout-ms", "2000"];
    let aka = Aka::serve(&database, &flags).await;
    aka.create(PROJECT, "bob", "alice").await.expect("created");
    eventually("memory answers", async || {
        let found = look_up(&aka, PROJECT, "bob").await;
        (found["found"]["source"] == json!("memory")).then_some(())
    })
    .await;
    tokio::task::block_in_place(|| server.kill());
    let found = eventually("memory is stale", async || {
        let asked = ask(&aka, "7", "bob", None).await;
        (asked.code == 200).then(|| asked.json()).filter(|it| it["found"]["source"] == "stale")
    })
    .await;
    assert_eq!((&found["kind"], &found["canonical_id"]), (&json!("alias"), &json!("alice")));
    assert_eq!((&found["aliases"], &found["alias"]), (&Value::Null, &Value::Null));
    let trouble = found["trouble"].as_str().expect("it says why there is no list");
    assert!(trouble.contains("cannot be reached"), "{trouble}");
    let refused = ask(&aka, "7", "nobody", None).await;
    let words = refused.refuses(503, "SHARD_UNAVAILABLE");
    assert!(words.contains("does not mean that it is no alias"), "{words}");
}
