//! Exit codes: 2 for a wrong command line, 69 for a missing server; and `aka health`.

use super::client;
use aka_test_support::{Backend, PROJECT, aka, start};

/// Nothing listens there.
const NOBODY: &str = "127.0.0.1:1";

#[tokio::test]
async fn wrong_usage_is_exit_code_2() {
    // None of these sends a request: a missing server would be exit code 69.
    let run = async |args: &[&str]| aka(args).env("AKA_SERVER", NOBODY).run().await;
    for (args, part) in [
        (&["resolve", "b1"][..], "--project"),
        (&["resolve", "--project", "0", "b1"], "--project"),
        (&["resolve", "--project", "9223372036854775808", "b1"], "--project"),
        (&["resolve", "--project", "seven", "b1"], "--project"),
        (&["resolve", "--project", "7", "--nope", "b1"], "--nope"),
        (&["resolve", "--project", "7", "--output", "xml", "b1"], "json"),
        (&["resolve", "--project", "7", "--server", "ftp://aka:1", "b1"], "https"),
        (&["resolve", "--project", "7", "--cert", "c.pem", "b1"], "--key"),
        (&["resolve", "--project", "7", "--timeout-ms", "0", "b1"], "--timeout-ms"),
        (&["alias", "get", "--project", "7"], "ALIAS"),
        (&["alias", "update", "--project", "7", "b1", "b2"], "--expected-version"),
        (
            &["alias", "update", "--project", "7", "b1", "b2", "--expected-version", "0"],
            "--expected",
        ),
        (&["alias", "list", "--project", "7", "b1", "--page-size", "1001"], "--page-size"),
        (&["alias", "rename"], "rename"),
        (&["health", "--server", "a b"], "--server"),
        (&["status", "--metrics-server", "a b"], "--metrics-server"),
        (&["status", "--output", "xml"], "json"),
        (&["status", "--server", "aka:1"], "--server"),
        (&["completions", "cmd.exe"], "bash"),
    ] {
        run(args).await.misunderstood(2, part);
    }
    run(&["alias", "create", "--project", "7", "b1"]).await.failed(2, &["USAGE", "canonical id"]);
    let plain = ["resolve", "--project", "7", "--ca", "ca.pem", "b1"];
    run(&plain).await.failed(2, &["USAGE", "--ca", "https"]);
    let keep_going = ["resolve", "--project", "7", "--keep-going", "b1"];
    run(&keep_going).await.failed(2, &["USAGE", "--with-input"]);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_exit_code_69() {
    for command in [
        &["resolve", "b1"][..],
        &["alias", "create", "b1", "b2"],
        &["alias", "get", "b1"],
        &["alias", "list", "b1"],
        &["alias", "update", "b1", "b2", "--expected-version", "1"],
        &["alias", "delete", "b1"],
        &["health"],
    ] {
        let run = aka(command).env("AKA_SERVER", NOBODY);
        let run = if command[0] == "health" { run } else { run.env("AKA_PROJECT", "7") };
        run.run().await.failed(69, &["UNREACHABLE: cannot reach http://127.0.0.1:1: ", "refused"]);
    }
    let json = aka(["resolve", "--project", "7", "--output", "json", "--server", NOBODY, "b1"]);
    let json = json.run().await;
    assert_eq!((json.code, json.stdout.len()), (Some(69), 0), "{json}");
    let error: serde_json::Value = serde_json::from_str(&json.stderr).expect("JSON");
    assert_eq!(error["error"]["reason"], "UNREACHABLE", "{json}");
}

on_backends!(a_server_that_is_gone_is_exit_code_69: sqlite);

async fn a_server_that_is_gone_is_exit_code_69(backend: Backend) {
    let (_database, aka) = start(backend).await;
    assert_eq!(client(&aka, ["health"]).run().await.succeeded(), "SERVING\n");
    aka.kill();
    client(&aka, ["health"]).run().await.failed(69, &["UNREACHABLE"]);
}

on_backends!(health_is_exit_code_0_while_serving: sqlite mysql_1);

async fn health_is_exit_code_0_while_serving(backend: Backend) {
    let (_database, aka) = start(backend).await;
    assert_eq!(client(&aka, ["health"]).run().await.succeeded(), "SERVING\n");
    for service in ["aka.v1.Resolver", "aka.v1.AliasAdmin"] {
        let health = client(&aka, ["health", "--service", service]).run().await;
        assert_eq!(health.succeeded(), "SERVING\n");
    }
    client(&aka, ["health", "--service", "aka.v1.None"]).run().await.failed(1, &["NOT_FOUND"]);
}

on_backends!(a_refusal_of_the_server_is_exit_code_1: sqlite);

async fn a_refusal_of_the_server_is_exit_code_1(backend: Backend) {
    let (_database, aka) = start(backend).await;
    aka.create(PROJECT, "b1", "b2").await.expect("created");
    for (args, reason) in [
        (["alias", "create", "b1", "b1"], "SELF_ALIAS"),
        (["alias", "create", "b2", "b3"], "ALIAS_IS_CANONICAL"),
        (["alias", "create", "NULL", "b3"], "PLACEHOLDER_ID"),
        (["alias", "create", "b\u{7}", "b3"], "INVALID_ID"),
        (["alias", "create", "", "b3"], "INVALID_ID"),
    ] {
        client(&aka, args).run().await.failed(1, &[reason]);
    }
}
