//! `aka bench`, in short runs.

use super::client;
use aka_test_support::{Aka, Backend, Ended, PROJECT, aka, check_is_clean, start};
use serde_json::Value;

/// Half a second at 2,000 ids a second, after a warm-up of a tenth.
const SHORT: [&str; 8] =
    ["--rate", "2000", "--duration", "0.5", "--warm-up", "0.1", "--output", "json"];

async fn bench(server: &Aka, args: &[&str]) -> Ended {
    client(server, ["bench"]).args(SHORT).args(args).run().await
}

/// The report of a run that found nothing wrong.
#[track_caller]
fn report(ended: &Ended) -> Value {
    ended.succeeded();
    let [report] = &ended.json()[..] else { panic!("not one line: {ended}") };
    assert_eq!((count(report, "wrong"), count(report, "failed")), (0, 0), "{ended}");
    assert_eq!(report["errors"], serde_json::json!({}), "{ended}");
    report.clone()
}

#[track_caller]
fn count(report: &Value, name: &str) -> u64 {
    report[name].as_u64().unwrap_or_else(|| panic!("no count {name}: {report}"))
}

#[track_caller]
fn number(report: &Value, pointer: &str) -> f64 {
    let number = report.pointer(pointer).and_then(Value::as_f64);
    number.unwrap_or_else(|| panic!("no number {pointer}: {report}"))
}

on_backends!(each_mode_is_checked_and_measured: sqlite mysql_3);

async fn each_mode_is_checked_and_measured(backend: Backend) {
    let (database, aka) = start(backend).await;
    // All calls that fall due are sent and answered, even on a busy machine.
    for (mode, batch, prepared) in [("unary", 1, 500), ("batch", 50, 0), ("stream", 20, 0)] {
        let batch_text = batch.to_string();
        let args = ["--mode", mode, "--batch", &batch_text, "--prepare", "--keys", "1000"];
        let ended = bench(&aka, &args).await;
        let report = report(&ended);
        let created = count(&report["prepared"], "created");
        assert!(created.abs_diff(prepared) < 3, "{ended}");
        assert_eq!(
            count(&report, "ids") + batch * count(&report, "unsent_calls"),
            1_000,
            "{ended}"
        );
        assert_eq!(count(&report, "calls") * batch, count(&report, "ids"), "{ended}");
        assert!((0.4..0.6).contains(&number(&report, "/aliases")), "{ended}");
        let latency = |name| number(&report, &format!("/latency_us/{name}"));
        assert!(0.0 < latency("p50") && latency("p50") <= latency("p99"), "{ended}");
        assert!(latency("p99") <= latency("p999") && latency("p999") <= latency("max"));
        // The server runs on this machine, so `aka bench` finds its process.
        assert!(number(&report, "/server/pids/0") > 0.0, "{ended}");
    }
    check_is_clean(&database).await;
}

on_backends!(a_closed_loop_beside_writes: sqlite);

async fn a_closed_loop_beside_writes(backend: Backend) {
    let (database, aka) = start(backend).await;
    let args = [
        "bench",
        "--prepare",
        "--keys",
        "500",
        "--duration",
        "0.5",
        "--warm-up",
        "0",
        "--zipf",
        "1.1",
        "--cold",
        "0.2",
        "--writes",
        "100",
        "--connections",
        "3",
        "--threads",
        "2",
        "--output",
        "json",
    ];
    let ended = client(&aka, args).run().await;
    let report = report(&ended);
    assert!(count(&report, "calls") > 0, "{ended}");
    assert!((0.1..0.3).contains(&number(&report, "/cold")), "{ended}");
    let writes = &report["writes"];
    let made = count(writes, "calls");
    assert_eq!(made + count(writes, "unsent_calls"), 50, "{ended}");
    assert_eq!((count(writes, "wrong"), count(writes, "failed")), (0, 0), "{ended}");
    // No two runs create the same aliases, and none of them are asked for by the next.
    assert_eq!(client(&aka, args).run().await.code, Some(0));
    check_is_clean(&database).await;
}

on_backends!(wrong_answers_are_reported: sqlite);

async fn wrong_answers_are_reported(backend: Backend) {
    let (_database, aka) = start(backend).await;
    report(&bench(&aka, &["--prepare", "--keys", "10"]).await);
    // Key 0 is an alias at any ratio. Now it gets another canonical id, later none.
    let (alias, canonical) = ("bench-0000000000000000", "user-0000000000000000");
    let version = aka.get(PROJECT, alias).await.expect("it is there").version;
    aka.update(PROJECT, alias, "user-of-another", version).await.expect("updated");
    for mode in ["unary", "batch", "stream"] {
        let ended = bench(&aka, &["--keys", "10", "--mode", mode]).await;
        is_wrong(
            &ended,
            &format!("\"{alias}\" resolved to \"user-of-another\", not to \"{canonical}\""),
        );
    }
    aka.delete(PROJECT, alias, 0).await.expect("deleted");
    for mode in ["unary", "batch"] {
        let ended = bench(&aka, &["--keys", "10", "--mode", mode]).await;
        is_wrong(&ended, &format!("\"{alias}\" resolved to \"{alias}\", not to \"{canonical}\""));
    }
    // A server that `aka bench` did not prepare has other aliases, or none.
    report(&bench(&aka, &["--keys", "10", "--no-check"]).await);
    // An alias that exists with another canonical id is not prepared.
    aka.create(PROJECT, alias, "user-of-another").await.expect("created");
    let ended = bench(&aka, &["--keys", "10", "--prepare"]).await;
    assert_eq!((ended.code, ended.stdout.len()), (Some(1), 0), "{ended}");
    assert!(ended.stderr.contains("ALIAS_TAKEN") && ended.stderr.contains(alias), "{ended}");
}

#[track_caller]
fn is_wrong(ended: &Ended, example: &str) {
    assert_eq!(ended.code, Some(1), "{ended}");
    let [report] = &ended.json()[..] else { panic!("not one line: {ended}") };
    assert!(count(report, "wrong") > 0, "{ended}");
    assert_eq!(report["first_wrong"], example, "{ended}");
    assert!(ended.stderr.contains("PARTLY_FAILED"), "{ended}");
}

on_backends!(the_report_for_people_has_its_lines: sqlite);

async fn the_report_for_people_has_its_lines(backend: Backend) {
    let (_database, aka) = start(backend).await;
    let args = ["bench", "--prepare", "--keys", "10", "--duration", "0.2", "--warm-up", "0"];
    let text = client(&aka, args).run().await.succeeded();
    for part in ["prepared   ", "rate       ", "latency    p50 ", " 0 wrong, 0 failed\n"] {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
}

#[tokio::test]
async fn a_run_that_cannot_start_is_refused() {
    let nobody = ["bench", "--project", "7", "--server", "127.0.0.1:1"];
    aka(nobody).run().await.failed(69, &["UNREACHABLE", "refused"]);
    for (args, part) in [
        (["--mode", "both"], "--mode"),
        (["--aliases", "1.5"], "--aliases"),
        (["--cold", "2"], "--cold"),
        (["--rate", "0"], "--rate"),
        (["--rate", "nan"], "--rate"),
        (["--keys", "0"], "--keys"),
        (["--batch", "10001"], "--batch"),
        (["--duration", "forever"], "--duration"),
        (["--no-check", "--prepare"], "--prepare"),
    ] {
        aka(nobody).args(args).run().await.misunderstood(2, part);
    }
    for (args, part) in [
        (["--batch", "10"], "--mode batch"),
        (["--threads", "5"], "--connections"),
        (["--duration", "0"], "--duration"),
    ] {
        aka(nobody).args(args).run().await.failed(2, &["USAGE", part]);
    }
}
