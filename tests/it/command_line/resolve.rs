//! `aka resolve`: one answer for each id of any form, in order.

use super::client;
use aka_test_support::{Backend, PROJECT, aka_program, create_request, start};
use std::process::Command;

on_backends!(ids_from_arguments_are_resolved: sqlite);

async fn ids_from_arguments_are_resolved(backend: Backend) {
    let (_database, aka) = start(backend).await;
    aka.create(PROJECT, "b1", "b2").await.expect("created");
    let plain = client(&aka, ["resolve", "b1", "b3", "b1"]).run().await;
    assert_eq!(plain.succeeded(), "b2\nb3\nb2\n");
    let beside = client(&aka, ["resolve", "--with-input", "b1", "b3"]).run().await;
    assert_eq!(beside.succeeded(), "b1\tb2\nb3\tb3\n");
    let dashed = client(&aka, ["resolve", "--", "--b1", "-"]).run().await;
    assert_eq!(dashed.succeeded(), "--b1\n-\n");

    let json = client(&aka, ["resolve", "--output", "json", "b1", "b3"]).run().await;
    let lines = json.json();
    for (line, canonical, is_alias) in [(&lines[0], "b2", true), (&lines[1], "b3", false)] {
        assert_eq!(line["canonical_id"], canonical, "{json}");
        assert_eq!((&line["is_alias"], &line["degraded"]), (&is_alias.into(), &false.into()));
    }
    // Another project has other people.
    let other = client(&aka, ["resolve", "--project", "8", "b1"]).run().await;
    assert_eq!(other.succeeded(), "b1\n");
}

on_backends!(the_lines_of_stdin_keep_their_order: sqlite mysql_3 mariadb_3);

async fn the_lines_of_stdin_keep_their_order(backend: Backend) {
    let (_database, aka) = start(backend).await;
    let aliases =
        (0..500).map(|n| create_request(PROJECT, format!("id-{n}"), format!("p-{}", n % 50)));
    let created = aka.create_all(aliases.collect()).await.expect("the batch is answered");
    assert!(created.results.iter().all(|result| result.failure.is_none()));

    // Many batches. Each has every alias, and ids beside them that are not aliases.
    let ids: Vec<String> = (0..25_000).map(|n| format!("id-{}", n * 7 % 1_003)).collect();
    let meant = ids.iter().map(|id| match id[3..].parse::<u32>().expect("a number") {
        number @ 0..500 => format!("p-{}\n", number % 50),
        _ => format!("{id}\n"),
    });
    let ended = client(&aka, ["resolve"]).input(ids.join("\n")).run().await;
    let answers = ended.succeeded();
    assert_eq!(answers.lines().count(), ids.len());
    for (number, (answer, meant)) in answers.split_inclusive('\n').zip(meant).enumerate() {
        assert_eq!(answer, meant, "line {}", number + 1);
    }
}

on_backends!(odd_ids_are_answered_as_they_are: sqlite mysql_1);

async fn odd_ids_are_answered_as_they_are(backend: Backend) {
    let (_database, aka) = start(backend).await;
    aka.create(PROJECT, "bo\u{301}b ", "ボブ").await.expect("created");
    let long = "x".repeat(300);
    let input = [
        &b"bo\xcc\x81b "[..],
        b"bo\xcc\x81b",
        b"b\xc3\xb3b ",
        b"",
        b" \r ",
        b" \t ",
        b"\xff\xfe\x00",
        b"null",
        long.as_bytes(),
        "👩‍👩‍👧".as_bytes(),
    ];
    let mut meant = input;
    meant[0] = "ボブ".as_bytes();
    let ended = client(&aka, ["resolve", "-"]).input(input.join(&b'\n')).run().await;
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{ended}");
    let mut lines = meant.join(&b'\n');
    lines.push(b'\n');
    assert_eq!(ended.stdout, lines);
    let none = client(&aka, ["resolve"]).input("").run().await;
    assert_eq!(none.succeeded(), "");
    let json = client(&aka, ["resolve", "--output", "json"]).input(b"b\xff".as_slice()).run().await;
    assert_eq!(json.json()[0]["distinct_id_base64"], "Yv8=", "{json}");
}

on_backends!(an_id_does_not_control_the_terminal: sqlite);

/// `script` gives the command a terminal.
async fn an_id_does_not_control_the_terminal(backend: Backend) {
    let (_database, aka) = start(backend).await;
    let id = "a\u{1b}[2J\u{9b}\u{202e}b";
    let program = aka_program().display().to_string();
    let grpc = aka.grpc;
    let in_terminal = |flags: &str| {
        let command = format!("{program} resolve --server {grpc} --project 7 {flags} \"$ID\"");
        let mut script = Command::new("script");
        let shown = script.args(["-qec", &command, "/dev/null"]).env("ID", id).output();
        let shown = shown.expect("script is part of Debian's bsdutils");
        String::from_utf8(shown.stdout).expect("text")
    };
    assert_eq!(in_terminal("").trim_end(), "a\\u{1b}[2J\\u{9b}\\u{202e}b");
    let json = in_terminal("--output json");
    assert!(json.contains("\"a\\u001b[2J\\u009b\\u202eb\""), "{json}");
    assert_eq!(client(&aka, ["resolve", id]).run().await.succeeded(), format!("{id}\n"));
    let json = client(&aka, ["resolve", "--output", "json", id]).run().await;
    assert!(json.text().contains("\"a\\u001b[2J\\u009b\\u202eb\""), "{json}");
    assert_eq!(json.json()[0]["canonical_id"], id);
}

on_backends!(line_ends_and_marks_of_other_systems_are_no_part_of_an_id: sqlite);

async fn line_ends_and_marks_of_other_systems_are_no_part_of_an_id(backend: Backend) {
    let (_database, aka) = start(backend).await;
    aka.create(PROJECT, "b1", "b2").await.expect("created");
    aka.create(PROJECT, "\u{feff}marked", "b3").await.expect("created");
    let input = "\u{feff}b1\r\nb1\r\r\n\u{feff}marked\n\r\nb1\r";
    let ended = client(&aka, ["resolve", "--with-input"]).input(input).run().await;
    let right = "b1\tb2\nb1\r\tb1\r\n\u{feff}marked\tb3\n\t\nb1\tb2\n";
    assert_eq!(ended.succeeded(), right);
    // An argument is an id as it is.
    let argument = client(&aka, ["resolve", "\u{feff}marked"]).run().await;
    assert_eq!(argument.succeeded(), "b3\n");
    let pairs = "\u{feff}c1\tc2\r\n\r\nc3\tc2\r\n";
    client(&aka, ["alias", "create"]).input(pairs).run().await.succeeded();
    let ended = client(&aka, ["resolve", "c1", "c3"]).run().await;
    assert_eq!(ended.succeeded(), "c2\nc2\n");
}
