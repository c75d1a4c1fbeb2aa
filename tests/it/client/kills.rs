//! Servers that are killed and started again under load. `AKA_CLIENT_KILLS` says how often (here 3).

use super::connect;
use aka_client::{ClientOptions, ResolveError};
use aka_test_support::{Aka, Backend, Database, PROJECT, eventually, free_port};
use futures::future::join_all;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

on_backends!(a_kill_costs_no_id: mysql_1);

#[derive(Default)]
struct Outcomes {
    asked: AtomicU64,
    right: AtomicU64,
    failed: AtomicU64,
    stop: AtomicBool,
}

/// Each id gets one answer, which is right, or an error.
async fn a_kill_costs_no_id(backend: Backend) {
    let kills = std::env::var("AKA_CLIENT_KILLS").map_or(3, |n| n.parse().expect("a number"));
    let database = Database::create(backend).await;
    let addresses: Vec<String> = (0..2).map(|_| format!("127.0.0.1:{}", free_port())).collect();
    let serve = async |n: usize| Aka::serve(&database, &["--listen", &addresses[n]]).await;
    let mut servers = [serve(0).await, serve(1).await];
    servers[0].create_many("alias", 500).await;
    let timeout = Duration::from_secs(10);
    let urls = addresses.iter().map(|address| format!("http://{address}"));
    let client = connect(ClientOptions { timeout, ..ClientOptions::to(urls) }).await;
    let mut known = Vec::new();
    for n in 0..1_000 {
        let id = format!("alias-{n}");
        let said = servers[0].resolve(PROJECT, &id).await.expect("an answer");
        known.push((id, said.canonical_id, said.is_alias));
    }
    let (known, outcomes) = (Arc::new(known), Arc::new(Outcomes::default()));
    let worker = |worker: usize| {
        let (client, outcomes, known) = (client.clone(), outcomes.clone(), known.clone());
        tokio::spawn(async move {
            let mut n = worker;
            while !outcomes.stop.load(Ordering::Acquire) {
                n += 7;
                let (id, canonical, is_alias) = &known[n % known.len()];
                outcomes.asked.fetch_add(1, Ordering::AcqRel);
                match client.resolve(PROJECT, id.clone()).await {
                    Ok(answer) => {
                        assert_eq!((&answer.canonical, answer.is_alias), (canonical, *is_alias));
                        outcomes.right.fetch_add(1, Ordering::AcqRel);
                    }
                    Err(ResolveError::Unavailable { .. } | ResolveError::DeadlineExceeded) => {
                        outcomes.failed.fetch_add(1, Ordering::AcqRel);
                    }
                    Err(error) => panic!("{error}"),
                }
            }
        })
    };
    let workers: Vec<_> = (0..16).map(worker).collect();
    for kill in 0..kills {
        let before = outcomes.right.load(Ordering::Acquire);
        eventually("ids are answered", async || {
            (outcomes.right.load(Ordering::Acquire) > before + 200).then_some(())
        })
        .await;
        servers[kill % 2].kill();
        servers[kill % 2] = serve(kill % 2).await;
    }
    outcomes.stop.store(true, Ordering::Release);
    for ended in join_all(workers).await {
        ended.expect("each answer was right");
    }
    let count = |counter: &AtomicU64| counter.load(Ordering::Acquire);
    let (asked, right, failed) =
        (count(&outcomes.asked), count(&outcomes.right), count(&outcomes.failed));
    eprintln!(
        "{kills} kills: {asked} asked, {right} right, {failed} failed; {:?}",
        client.counts()
    );
    assert_eq!(asked, right + failed, "none is lost");
    // One of the two was always there.
    assert!(failed * 20 <= asked, "{failed} of {asked} failed");
}
