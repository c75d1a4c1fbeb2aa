//! Which server is called.

use crate::fake::Fake;
use crate::{PROJECT, connect, eventually, id, options, right};
use aka_client::{ClientOptions, Notice, Observer};
use futures::future::join_all;
use std::sync::{Arc, Mutex};
use tonic::Status;

#[derive(Default)]
struct Heard(Mutex<Vec<Notice>>);

impl Observer for Heard {
    fn notice(&self, notice: &Notice) {
        self.0.lock().expect("no panic").push(*notice);
    }
}

impl Heard {
    fn has(&self, notice: Notice) -> bool {
        self.0.lock().expect("no panic").contains(&notice)
    }
}

#[tokio::test]
async fn what_one_server_cannot_answer_another_one_is_asked() {
    let (sick, healthy) = (Fake::start(), Fake::start());
    sick.always(Some(Status::unavailable("its shard is down")));
    let client = connect(options([&sick, &healthy])).await;
    for n in 0..10 {
        assert_eq!(client.resolve(PROJECT, id(n)).await, Ok(right(&id(n))));
    }
    assert!(!sick.calls().is_empty());
    assert_eq!(healthy.calls().len(), 10);
}

#[tokio::test]
async fn a_server_that_refuses_connections_is_left_alone_until_it_is_back() {
    let (lost, healthy) = (Fake::start(), Fake::start());
    let heard = Arc::new(Heard::default());
    let observer = Some(heard.clone() as Arc<dyn Observer>);
    let listening = ClientOptions { observer, ..options([&lost, &healthy]) };
    let address = lost.address;
    drop(lost);
    eventually("nobody listens", || std::net::TcpStream::connect(address).is_err()).await;
    let client = connect(listening).await;
    for n in 0..50 {
        assert_eq!(client.resolve(PROJECT, id(n)).await, Ok(right(&id(n))));
    }
    // One call found it out. It costs no others.
    assert!(heard.has(Notice::EndpointDown));
    assert_eq!(client.counts().failed_calls, 1);
    let back = Fake::start_at(address);
    eventually("it is found", || heard.has(Notice::EndpointUp)).await;
    for n in 0..10 {
        assert_eq!(client.resolve(PROJECT, id(n)).await, Ok(right(&id(n))));
    }
    assert!(!back.calls().is_empty());
}

#[tokio::test]
async fn the_server_with_the_least_under_way_is_called() {
    let (busy, idle) = (Fake::start(), Fake::start());
    busy.hold(true);
    let client = connect(ClientOptions { max_in_flight: 1_000, ..options([&busy, &idle]) }).await;
    let mut held = Vec::new();
    while busy.calls().is_empty() {
        let lookup = client.resolve(PROJECT, "a1").token(format!("t{}", held.len())).into_future();
        let before = idle.calls().len();
        held.push(tokio::spawn(lookup));
        eventually("it is sent", || !busy.calls().is_empty() || idle.calls().len() > before).await;
    }
    for n in 0..20 {
        assert_eq!(client.resolve(PROJECT, id(n)).await, Ok(right(&id(n))));
    }
    assert_eq!(busy.calls().len(), 1);
    busy.hold(false);
    join_all(held).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_leaves_costs_no_answer() {
    let (leaving, staying) = (Fake::start(), Fake::start());
    let client = connect(options([&leaving, &staying])).await;
    let worker = |worker: usize| {
        let client = client.clone();
        tokio::spawn(async move {
            for n in 0..300 {
                let id = id(worker * 1_000 + n);
                assert_eq!(client.resolve(PROJECT, id.clone()).await, Ok(right(&id)));
            }
        })
    };
    let workers: Vec<_> = (0..8).map(worker).collect();
    eventually("it is called", || leaving.calls().len() > 5).await;
    leaving.leave();
    for ended in join_all(workers).await {
        ended.expect("all were answered");
    }
}

#[tokio::test]
async fn a_name_stands_for_all_of_its_addresses() {
    // Both loopback addresses have the name on most systems; one of them on all.
    let server = Fake::start();
    let url = format!("http://localhost:{}", server.address.port());
    let by_name = ClientOptions { endpoints: vec![url], ..options([&server]) };
    let client = connect(by_name).await;
    for n in 0..5 {
        assert_eq!(client.resolve(PROJECT, id(n)).await, Ok(right(&id(n))));
    }
    assert_eq!(server.calls().len(), 5);
}

#[tokio::test]
async fn options_that_make_no_sense_are_refused() {
    let server = Fake::start();
    for (wrong, part) in [
        (ClientOptions::to([""; 0]), "endpoint"),
        (ClientOptions::to(["ftp://x"]), "http"),
        (ClientOptions { max_batch: 0, ..options([&server]) }, "max_batch"),
        (ClientOptions { max_in_flight: 0, ..options([&server]) }, "max_in_flight"),
        (ClientOptions { ca: Some("/x".into()), ..options([&server]) }, "https"),
        (ClientOptions { token_file: Some("/missing".into()), ..options([&server]) }, "/missing"),
    ] {
        let error = aka_client::Client::connect(wrong).await.expect_err("it makes no sense");
        assert!(error.to_string().contains(part), "{error}");
    }
}
