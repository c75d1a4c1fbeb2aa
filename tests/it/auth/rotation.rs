//! Files of principals that change while the service runs.

use super::people::{PrincipalFile, Token, admin, resolver, stanza};
use super::{NEVER, OFTEN, start};
use aka_test_support::{Aka, assert_refused, create_request, eventually, resolve_request};
use rustix::process::Signal;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use tonic::{Code, Status};

async fn reloads(aka: &Aka, result: &str) -> f64 {
    let label = format!("result=\"{result}\"");
    aka.metric("aka_reloads_total", &["what=\"auth\"", &label]).await
}

/// Waits until so many reloads have ended so. There may not be more.
pub async fn assert_reloads(aka: &Aka, result: &str, count: f64) {
    let counted = async || Some(reloads(aka, result).await).filter(|now| *now >= count);
    assert_eq!(eventually("it is counted", counted).await, count, "{result}");
}

async fn ask(aka: &Aka, token: &Token) -> Result<(), Status> {
    resolver(aka, token).resolve(resolve_request(7, "bob")).await.map(drop)
}

/// As the page on security says it: the new hash beside the old one, the new token to the callers,
/// the old hash out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_change_under_load_and_no_call_fails() {
    const ROUNDS: u32 = 10;
    let first = Token::new().await;
    let file = PrincipalFile::new(&first.stanza("etl", "writer", "[7]"));
    let (_database, aka) = start(&file, &[], &[OFTEN]).await;
    let (aka, current) = (Arc::new(aka), Arc::new(Mutex::new(first.clone())));
    let (stop, calls) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
    // How many callers have taken the current token up.
    let callers: Vec<_> = (0..4)
        .map(|caller| {
            let (aka, current) = (aka.clone(), current.clone());
            let (stop, calls) = (stop.clone(), calls.clone());
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    // The token may be out of the file as soon as this call has ended.
                    let token = current.lock().expect("no panic").clone();
                    ask(&aka, &token).await.expect("no call fails");
                    if caller == 0 {
                        let create = create_request(7, "bob", "alice");
                        admin(&aka, &token).create_alias(create).await.expect("no call fails");
                    }
                    calls.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let mut old = first;
    for round in 0..ROUNDS {
        let new = Token::new().await;
        let hashes = format!("token_sha256 = [\"{}\", \"{}\"]", old.hash, new.hash);
        file.replace(&stanza("etl", "writer", "[7]", &hashes));
        assert_reloads(&aka, "ok", f64::from(2 * round + 1)).await;
        ask(&aka, &old).await.expect("both are good");
        ask(&aka, &new).await.expect("both are good");
        *current.lock().expect("no panic") = new.clone();
        // Each caller has begun a call since.
        let before = calls.load(Ordering::Relaxed);
        let taken_up = async || (calls.load(Ordering::Relaxed) >= before + 40).then_some(());
        eventually("all callers have the new token", taken_up).await;
        file.replace(&new.stanza("etl", "writer", "[7]"));
        assert_reloads(&aka, "ok", f64::from(2 * round + 2)).await;
        let refused = ask(&aka, &old).await.expect_err("it is out of the file");
        assert_refused(&refused, Code::Unauthenticated, "CREDENTIALS_INVALID");
        old = new;
    }
    stop.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.await.expect("no call failed");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sighup_has_the_file_read_again() {
    let (old, new) = (Token::new().await, Token::new().await);
    let file = PrincipalFile::new(&old.stanza("etl", "reader", "[7]"));
    let (_database, aka) = start(&file, &[], &[NEVER]).await;
    file.replace(&new.stanza("etl", "reader", "[7]"));
    ask(&aka, &old).await.expect("nobody has looked");
    aka.signal(Signal::HUP);
    assert_reloads(&aka, "ok", 1.0).await;
    ask(&aka, &new).await.expect("it is in the file");
    let refused = ask(&aka, &old).await.expect_err("it is not");
    assert_refused(&refused, Code::Unauthenticated, "CREDENTIALS_INVALID");
}

/// Each is said once, and the principals of before stay.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_file_changes_nothing() {
    let token = Token::new().await;
    let good = token.stanza("etl", "reader", "[7]");
    let file = PrincipalFile::new(&good);
    let (_database, aka) = start(&file, &[], &[OFTEN]).await;
    let wrong = [
        ("line 6 is not TOML", format!("{good}role")),
        ("holds no [[principal]]", String::new()),
        ("a key \\\"rights\\\"", format!("{good}rights = 1\n")),
        ("a token itself", good.replace(&token.hash, &token.text)),
    ];
    for (round, (part, text)) in (1_u32..).zip(&wrong) {
        file.replace(text);
        let said = async || Some(aka.logged(part)).filter(|lines| !lines.is_empty());
        let lines = eventually(part, said).await;
        assert!(lines[0].contains("the old ones stay"), "{lines:?}");
        assert_reloads(&aka, "failed", f64::from(round)).await;
        ask(&aka, &token).await.expect("the old ones stay");
    }
    for (part, _) in &wrong {
        assert_eq!(aka.logged(part).len(), 1, "it is said once: {part}");
    }
    assert_eq!(aka.logged(&token.text).len(), 0, "a token is never logged");
    let next = Token::new().await;
    file.replace(&next.stanza("etl", "reader", "[7]"));
    assert_reloads(&aka, "ok", 1.0).await;
    ask(&aka, &next).await.expect("it is in the file");
}
