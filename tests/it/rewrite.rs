//! `aka rewrite`: which bytes of events change, and what becomes of those that cannot be looked up.

use aka_test_support::{Aka, Backend, Ended, PROJECT, aka, free_port, start};
use flate2::{Compression, write::GzEncoder};
use std::io::Write;

/// Runs it with these events on stdin.
async fn rewrite(server: &Aka, args: &[&str], events: impl Into<Vec<u8>>) -> Ended {
    let project = PROJECT.to_string();
    let command = aka(["rewrite", "--server", &server.grpc.to_string()]);
    let command = match args.contains(&"--projects") {
        true => command,
        false => command.args(["--project", &project]),
    };
    command.args(args).input(events).run().await
}

/// What it printed. On stderr it says what it did.
#[track_caller]
fn done(ended: &Ended) -> String {
    assert!(ended.code == Some(0) && ended.stderr.contains(" events: "), "{ended}");
    ended.text()
}

async fn server(backend: Backend) -> (aka_test_support::Database, Aka) {
    let (database, server) = start(backend).await;
    for (alias, canonical) in [("anon-1", "user"), ("7", "seven"), ("a\"b", "é\\")] {
        server.create(PROJECT, alias, canonical).await.expect("created");
    }
    (database, server)
}

on_backends!(only_the_bytes_of_ids_change: sqlite);

async fn only_the_bytes_of_ids_change(backend: Backend) {
    let (_database, server) = server(backend).await;
    let events = "\u{feff}{ \"event\":\"e\", \"properties\" : {\"n\":1e400,\"distinct_id\" : \"anon-1\",\"s\":\"\\/\\u0041\"} }\r\n\
                  {\"type\":\"track\",\"userId\":7,\"anonymousId\":\"anon-1\"}\n\
                  \n\
                  {\"event\":\"e\",\"distinct_id\":\"a\\u0022b\",\"properties\":{\"distinct_id\":\"anon-1\"}}\n\
                  {\"event\":\"e\",\"distinct_id\":\"nobody\"}\n\
                  {\"$distinct_id\":\"anon-1\",\"$set\":{\"x\":12345678901234567890123}}\n\
                  {\"event\":\"$identify\",\"distinct_id\":\"anon-1\",\"properties\":{\"$anon_distinct_id\":\"7\"}}\n\
                  {\"event\":\"e\",\"distinct_id\":1.5}\n\
                  not json";
    let expected = "\u{feff}{ \"event\":\"e\", \"properties\" : {\"n\":1e400,\"distinct_id\" : \"user\",\"s\":\"\\/\\u0041\"} }\r\n\
                  {\"type\":\"track\",\"userId\":\"seven\",\"anonymousId\":\"user\"}\n\
                  \n\
                  {\"event\":\"e\",\"distinct_id\":\"é\\\\\",\"properties\":{\"distinct_id\":\"anon-1\"}}\n\
                  {\"event\":\"e\",\"distinct_id\":\"nobody\"}\n\
                  {\"$distinct_id\":\"user\",\"$set\":{\"x\":12345678901234567890123}}\n\
                  {\"event\":\"$identify\",\"distinct_id\":\"anon-1\",\"properties\":{\"$anon_distinct_id\":\"7\"}}\n\
                  {\"event\":\"e\",\"distinct_id\":1.5}\n\
                  not json";
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let rejects = folder.path().join("rejects").display().to_string();
    let once = rewrite(&server, &["--rejects", &rejects], events).await;
    assert_eq!((once.code, once.text()), (Some(0), expected.to_owned()), "{once}");
    assert!(once.stderr.contains("8 events: 4 rewritten, 0 learned, 2 rejected"), "{once}");
    let filed = std::fs::read_to_string(&rejects).expect("there are some");
    let filed: Vec<serde_json::Value> =
        filed.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!((&filed[0]["event"], &filed[1]["text"]), (&7.into(), &"not json".into()));
    // Twice is once, and a retry gives the same bytes.
    for again in [events, expected] {
        assert_eq!(rewrite(&server, &[], again).await.text(), expected);
    }
    let strict = rewrite(&server, &["--strict"], events).await;
    assert_eq!((strict.code, strict.text()), (Some(1), expected.to_owned()));
}

on_backends!(arrays_and_compressed_files_are_read: sqlite);

async fn arrays_and_compressed_files_are_read(backend: Backend) {
    let (_database, server) = server(backend).await;
    let event = |id: &str| format!("{{\"event\":\"e\",\"distinct_id\":\"{id}\"}}");
    let array = |id: &str| format!(" [\n {} ,{}\n]\n", event(id), event("nobody"));
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(array("anon-1").as_bytes()).expect("a Vec takes it");
    let gzip = gzip.finish().expect("a Vec takes it");
    let zstd = zstd::encode_all(array("anon-1").as_bytes(), 3).expect("it can be compressed");
    for input in [array("anon-1").into_bytes(), gzip, zstd] {
        assert_eq!(done(&rewrite(&server, &[], input).await), array("user"));
    }
    // Many events, in order, and more than one chunk.
    let many = |id: &str| (0..20_000).map(|n| format!("{{\"n\":{n},\"u\":\"{id}\"}}\n")).collect();
    let (before, after): (String, String) = (many("anon-1"), many("user"));
    let fields = ["--format", "fields", "--fields", "u"];
    assert_eq!(done(&rewrite(&server, &fields, before.clone()).await), after);
    // An original may be kept, and events may be written before.
    let one = "{\"u\":\"anon-1\"}\n{\"u\":7}\n{\"u\":\"x\"}\n";
    let kept = rewrite(&server, &[&fields[..], &["--keep-original", "was"]].concat(), one).await;
    let right = "{\"u\":\"user\",\"was\":\"anon-1\"}\n{\"u\":\"seven\",\"was\":7}\n{\"u\":\"x\"}\n";
    assert_eq!(done(&kept), right);
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let resume = folder.path().join("resume");
    let args = [&fields[..], &["--resume-file", resume.to_str().expect("UTF-8")]].concat();
    let begun = &one[..one.find('\n').expect("a line") + 1];
    assert_eq!(done(&rewrite(&server, &args, begun).await), "{\"u\":\"user\"}\n");
    assert_eq!(done(&rewrite(&server, &args, one).await), "{\"u\":\"seven\"}\n{\"u\":\"x\"}\n");
    assert_eq!(done(&rewrite(&server, &args, one).await), "");
    // An input that does not begin with these events is none of its own: none of it is left out.
    let kept = std::fs::read_to_string(&resume).expect("it is there");
    assert!(kept.starts_with("{\"events\":3,"), "{kept}");
    for other in ["{\"u\":1}\n{\"u\":7}\n{\"u\":\"x\"}\n{\"u\":2}\n", begun, ""] {
        let refused = rewrite(&server, &args, other).await;
        assert_eq!((refused.code, refused.text()), (Some(2), String::new()), "{refused}");
        assert!(refused.stderr.contains("belongs to another input"), "{refused}");
        assert_eq!(std::fs::read_to_string(&resume).expect("it is there"), kept);
    }
}

on_backends!(facts_are_learned_before_the_events_after_them: sqlite mysql_3);

async fn facts_are_learned_before_the_events_after_them(backend: Backend) {
    let (_database, server) = start(backend).await;
    let track = |id: &str| format!("{{\"type\":\"track\",\"anonymousId\":\"{id}\"}}\n");
    let mut events = String::new();
    let mut expected = String::new();
    for n in 0..50 {
        let identify =
            format!("{{\"type\":\"identify\",\"anonymousId\":\"a{n}\",\"userId\":\"u{n}\"}}\n");
        events += &format!("{}{identify}{}", track(&format!("a{n}")), track(&format!("a{n}")));
        expected += &format!("{}{identify}{}", track(&format!("a{n}")), track(&format!("u{n}")));
    }
    let taken = "{\"type\":\"alias\",\"previousId\":\"a0\",\"userId\":\"other\"}\n";
    events += taken;
    expected += taken;
    // Without --learn nothing is known of them.
    assert_eq!(done(&rewrite(&server, &[], events.clone()).await), events);
    let learned = rewrite(&server, &["--learn", "--format", "segment"], events.clone()).await;
    assert_eq!(done(&learned), expected);
    assert!(learned.stderr.contains("50 learned, 1 rejected"), "{learned}");
    let alias = server.get(PROJECT, "a7").await.expect("it is there");
    assert_eq!(alias.canonical_id, "u7");
}

on_backends!(tokens_of_events_name_projects: sqlite);

async fn tokens_of_events_name_projects(backend: Backend) {
    let (_database, server) = server(backend).await;
    server.create(PROJECT + 1, "anon-1", "somebody").await.expect("created");
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let tokens = folder.path().join("tokens");
    std::fs::write(&tokens, format!("# ours\nt1 {PROJECT}\nt2\t{}\n", PROJECT + 1))
        .expect("written");
    let event = |token: &str, id: &str| {
        format!(
            "{{\"event\":\"e\",\"properties\":{{\"token\":\"{token}\",\"distinct_id\":\"{id}\"}}}}\n"
        )
    };
    let events = ["t1", "t2", "t3"].map(|token| event(token, "anon-1")).concat();
    let expected = [event("t1", "user"), event("t2", "somebody"), event("t3", "anon-1")].concat();
    let args = ["--projects", tokens.to_str().expect("UTF-8"), "--strict"];
    let ended = rewrite(&server, &args, events).await;
    assert_eq!((ended.code, ended.text()), (Some(1), expected));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_looked_up_is_not_passed_off_as_resolved() {
    let event = "{\"event\":\"e\",\"distinct_id\":\"anon-1\"}\n";
    let server = format!("127.0.0.1:{}", free_port());
    let run = |policy| {
        aka(["rewrite", "--server", &server, "--project", "1", "--on-unavailable", policy])
            .input(format!("{{}}\n{event}"))
    };
    let failed = run("fail").run().await;
    // What was before it may have been written.
    assert_eq!(failed.code, Some(69), "{failed}");
    assert!(failed.stderr.contains("UNREACHABLE") && !failed.text().contains("anon-1"), "{failed}");
    let marked = run("mark").run().await;
    let right = "{}\n{\"$aka_unresolved\":true,\"event\":\"e\",\"distinct_id\":\"anon-1\"}\n";
    assert_eq!(done(&marked), right);
    // It waits until there is a server.
    let database = aka_test_support::Database::create(Backend::Sqlite).await;
    let turning_away = tokio::net::TcpListener::bind(&server).await.expect("the port is free");
    let waiting = tokio::spawn(run("wait").run());
    for _ in 0..3 {
        drop(turning_away.accept().await.expect("it tries again"));
    }
    assert!(!waiting.is_finished());
    drop(turning_away);
    let started = Aka::serve(&database, &["--listen", &server]).await;
    let waited = waiting.await.expect("no panic");
    assert_eq!(done(&waited), format!("{{}}\n{event}"));
    drop(started);
}

on_backends!(the_example_events_are_rewritten_and_are_what_the_generator_makes: sqlite);

async fn the_example_events_are_rewritten_and_are_what_the_generator_makes(backend: Backend) {
    let (_database, server) = start(backend).await;
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let made = std::process::Command::new(root.join("scripts/make-example-events"))
        .arg(folder.path())
        .status();
    assert!(made.expect("Python is there").success());
    for format in ["mixpanel", "segment", "posthog"] {
        let name = format!("events.{format}.ndjson");
        let read = |path: &std::path::Path| {
            std::fs::read_to_string(path.join(&name)).expect("it is there")
        };
        let events = read(&root.join("examples"));
        assert_eq!(read(folder.path()), events, "scripts/make-example-events makes other files");
        let rewritten = done(&rewrite(&server, &["--learn"], events.clone()).await);
        // Before it is known who it is: the device. Afterwards: the person.
        let lines: Vec<&str> = rewritten.lines().collect();
        assert_eq!(lines.len(), events.lines().count());
        assert!(
            lines[0].contains("device-") && !lines[3].contains("device-"),
            "{format}: {rewritten}"
        );
        assert!(lines[3].contains("\"alice@example.com\""), "{format}: {rewritten}");
        server_forgets(&server).await;
    }
}

/// Removes what was learned, for the next format.
async fn server_forgets(server: &Aka) {
    for person in ["alice@example.com", "bob@example.com", "carol@example.com"] {
        for alias in server.list_all(PROJECT, person, 100).await {
            server.delete(PROJECT, &alias, 0).await.expect("deleted");
        }
    }
}
