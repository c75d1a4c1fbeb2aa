//! Servers that crash and come back under load. `AKA_CLIENT_KILLS` says how often (here 20).

use crate::fake::Fake;
use crate::{PROJECT, connect, id, options, right};
use aka_client::{ClientOptions, ResolveError};
use futures::future::join_all;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

#[derive(Default)]
struct Outcomes {
    asked: AtomicU64,
    right: AtomicU64,
    failed: AtomicU64,
    stop: AtomicBool,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_costs_no_id() {
    let kills: usize =
        std::env::var("AKA_CLIENT_KILLS").map_or(20, |n| n.parse().expect("a number"));
    let mut servers = [Fake::start(), Fake::start(), Fake::start()];
    let timeout = Duration::from_secs(5);
    let client = connect(ClientOptions { timeout, ..options(&servers) }).await;
    let outcomes = Arc::new(Outcomes::default());
    let worker = |worker: usize| {
        let (client, outcomes) = (client.clone(), outcomes.clone());
        tokio::spawn(async move {
            let mut n = worker * 10_000_000;
            while !outcomes.stop.load(Ordering::Acquire) {
                n += 1;
                let id = id(n);
                outcomes.asked.fetch_add(1, Ordering::AcqRel);
                // One answer for each call, by its type; it is right, or it is an error.
                match client.resolve(PROJECT, id.clone()).await {
                    Ok(answer) => {
                        assert_eq!(answer, right(&id));
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
        crate::eventually("ids are answered", || {
            outcomes.right.load(Ordering::Acquire) > before + 50
        })
        .await;
        let server = &mut servers[kill % 3];
        let address = server.address;
        // The new one takes the place when the old one has gone.
        *server = Fake::start();
        crate::eventually("its place is free", || std::net::TcpListener::bind(address).is_ok())
            .await;
        *server = Fake::start_at(address);
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
    // Two of three servers were always there.
    assert!(failed * 20 <= asked, "{failed} of {asked} failed");
}
