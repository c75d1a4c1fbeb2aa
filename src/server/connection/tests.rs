use super::*;
use crate::rpc::RequestMemory;
use futures::future::join_all;
use h2::client::{ResponseFuture, SendRequest};
use http::Response;
use metrics::{Counter, Gauge};
use std::cell::Cell;
use std::pin::Pin;
use std::sync::Arc;
use tokio::io::{AsyncWriteExt, DuplexStream, duplex, split};

/// Serves a connection; each call is answered with its own path.
async fn serve_paths(stream: DuplexStream) -> Result<()> {
    let (reader, writer) = split(stream);
    let take = |call: Request<RecvStream>, mut respond: SendResponse<Bytes>| {
        let mut response = Response::new(());
        let path = call.uri().path().parse().expect("a header");
        response.headers_mut().insert("path", path);
        drop(respond.send_response(response, true));
    };
    serve(reader, writer, end_of_first_words(), take, memory(), &CancellationToken::new()).await
}

fn memory() -> ConnectionMemory {
    let memory = RequestMemory::new(16 << 20, Gauge::noop(), Counter::noop());
    Arc::new(memory).of_connection()
}

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_client_that_never_begins_is_cut_off() {
    let (_client, server) = duplex(1 << 10);
    let began = tokio::time::Instant::now();
    serve_paths(server).await.expect("nothing was wrong");
    assert_eq!(began.elapsed().as_secs(), FIRST_WORDS.as_secs());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_answers_no_ping_is_cut_off() {
    let (mut client, server) = duplex(1 << 10);
    client.write_all(PREFACE).await.expect("written");
    client.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.expect("written");
    let began = tokio::time::Instant::now();
    let error = serve_paths(server).await.expect_err("it was cut off");
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    // Nothing was heard after the preface.
    assert_eq!(began.elapsed().as_secs(), (2 * KEEPALIVE + KEEPALIVE_TIMEOUT).as_secs());
}

/// A pong may wait behind other bytes, in either direction.
#[tokio::test(start_paused = true)]
async fn a_client_that_is_heard_of_stays() {
    let (mut client, server) = duplex(1 << 10);
    client.write_all(PREFACE).await.expect("written");
    client.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.expect("written");
    let server = tokio::spawn(serve_paths(server));
    for _ in 0..100 {
        tokio::time::sleep(KEEPALIVE_TIMEOUT - SECOND).await;
        // A WINDOW_UPDATE, of one byte.
        client.write_all(&[0, 0, 4, 8, 0, 0, 0, 0, 0, 0, 0, 0, 1]).await.expect("written");
        assert!(!server.is_finished());
    }
    let error = server.await.expect("joined").expect_err("it was cut off when it fell silent");
    assert_eq!(error.kind(), ErrorKind::TimedOut);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_answers_pings_stays() {
    let (client, server) = duplex(1 << 10);
    let server = tokio::spawn(serve_paths(server));
    let (mut calls, connection) = h2::client::handshake(client).await.expect("opened");
    let connection = tokio::spawn(connection);
    for silence in [0, 29, 31, 3_600] {
        tokio::time::sleep(silence * SECOND).await;
        let request = Request::get("http://aka/here").body(()).expect("a request");
        let (response, _) = calls.send_request(request, true).expect("sent");
        assert_eq!(response.await.expect("answered").headers()["path"], "/here");
    }
    drop(calls);
    connection.await.expect("joined").expect("closed");
    server.await.expect("joined").expect("closed");
}

/// A client, and the server's end of its connection, which is not yet polled.
async fn client() -> (SendRequest<Bytes>, DuplexStream) {
    let (client, server) = duplex(4 << 20);
    let (calls, connection) = h2::client::handshake(client).await.expect("opened");
    tokio::spawn(connection);
    (calls, server)
}

fn call(calls: &mut SendRequest<Bytes>) -> ResponseFuture {
    let request = Request::get("http://aka/here").body(()).expect("a request");
    calls.send_request(request, true).expect("sent").0
}

/// Answers a call so slowly that a turn is over. Returns whether the client was still there.
fn slowly(mut respond: SendResponse<Bytes>) -> bool {
    let began = Instant::now();
    while began.elapsed() < TURN {}
    respond.send_response(Response::new(()), true).is_ok()
}

/// One connection must not keep the others of its thread waiting, however many calls it has.
#[tokio::test]
async fn many_calls_at_once_let_others_have_their_turn() {
    let (mut calls, server) = client().await;
    let mut responses = join_all((0..9).map(|_| call(&mut calls)).collect::<Vec<_>>());
    let taken = Cell::new(0);
    let take = |_: Request<RecvStream>, respond: SendResponse<Bytes>| {
        taken.set(taken.get() + 1);
        slowly(respond);
    };
    let (reader, writer) = split(server);
    let stopping = CancellationToken::new();
    let mut server = pin!(serve(reader, writer, end_of_first_words(), take, memory(), &stopping));
    let mut most = 0;
    let responses = poll_fn(|context| {
        let before = taken.get();
        assert!(server.as_mut().poll(context).is_pending());
        most = most.max(taken.get() - before);
        Pin::new(&mut responses).poll(context)
    });
    assert!(responses.await.iter().all(std::result::Result::is_ok));
    assert_eq!(most, 1);
}

/// A client whose calls share a deadline resets many of them at once.
#[tokio::test]
async fn calls_that_are_reset_do_not_end_the_others() {
    let (mut calls, server) = client().await;
    let responses = (0..100).map(|_| call(&mut calls)).collect::<Vec<_>>();
    let (answered, reset) = (Cell::new(0), Cell::new(0));
    let take = |_: Request<RecvStream>, respond: SendResponse<Bytes>| {
        let count = if slowly(respond) { &answered } else { &reset };
        count.set(count.get() + 1);
    };
    let (reader, writer) = split(server);
    let stopping = CancellationToken::new();
    let mut server = pin!(serve(reader, writer, end_of_first_words(), take, memory(), &stopping));
    poll_fn(|context| {
        assert!(server.as_mut().poll(context).is_pending());
        if answered.get() == 0 { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
    drop(responses);
    let mut last = call(&mut calls);
    let last = poll_fn(|context| {
        assert!(server.as_mut().poll(context).is_pending());
        Pin::new(&mut last).poll(context)
    });
    last.await.expect("answered");
    assert!(reset.get() > 20, "they were answered before they could be reset");
}

/// A stream of small messages is no attack, however many of them are unread.
#[tokio::test]
async fn small_messages_may_be_unread_while_the_window_has_room() {
    const MESSAGES: usize = 1 << 15;
    let (mut calls, server) = client().await;
    let request = Request::post("http://aka/here").body(()).expect("a request");
    let (response, mut body) = calls.send_request(request, false).expect("sent");
    for left in (0..MESSAGES).rev() {
        body.send_data(Bytes::from_static(&[7; 32]), left == 0).expect("sent");
    }
    let (reader, writer) = split(server);
    let take = |call: Request<RecvStream>, mut respond: SendResponse<Bytes>| {
        tokio::spawn(async move {
            let mut body = call.into_body();
            let mut read = 0;
            while !body.is_end_stream() {
                read += body.data().await.expect("data").expect("data").len();
            }
            assert_eq!(read, 32 * MESSAGES);
            respond.send_response(Response::new(()), true).expect("sent");
        });
    };
    let stopping = CancellationToken::new();
    tokio::select! {
        ended = serve(reader, writer, end_of_first_words(), take, memory(), &stopping) => panic!("it ended: {ended:?}"),
        response = response => drop(response.expect("answered")),
    }
}
