//! One HTTP/2 connection, from its first words to its last.
//!
//! It is h2's, without a server's layers above it: calls are handed on by the connection's own task, so
//! that those that memory answers need no other.

use super::outgoing::Outgoing;
use bytes::Bytes;
use h2::server::{Builder, Connection, SendResponse};
use h2::{Ping, PingPong, RecvStream};
use http::Request;
use std::future::{pending, poll_fn};
use std::io::{Cursor, Error, ErrorKind, Result};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::time::{sleep, timeout};
use tokio_util::io::InspectReader;
use tokio_util::sync::CancellationToken;

/// What every HTTP/2 client says first (RFC 9113, 3.4), and how long it may take to.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const FIRST_WORDS: Duration = Duration::from_secs(10);

/// How long a server that stops still accepts what was on its way.
pub(super) const LAST_WORDS: Duration = Duration::from_millis(100);

/// A client of which nothing was heard for this long is asked whether it is there.
const KEEPALIVE: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Calls at once on one connection.
const STREAMS: u32 = 1_024;

/// Bytes on the way on a stream and on a connection: a whole batch, and several.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;

/// What h2 lets small DATA frames cost that lie unread, in bytes that each is short of 256: a stream's
/// window of messages with one short id each. By itself it allows an eighth of that.
const SMALL_FRAMES: usize = 16 << 20;

/// Bytes of the headers of one call.
const MAX_HEADERS: u32 = 16 << 10;

/// How long it answers calls until the other connections of its thread have their turn.
const TURN: Duration = Duration::from_micros(500);

/// A call that has begun, and where its answer goes.
pub(super) type Call = Request<RecvStream>;
pub(super) type Respond = SendResponse<Bytes>;

/// Serves a connection until its client goes, or has been told that the server stops and has got its
/// answers. `take` begins to answer a call, and must not wait.
///
/// # Errors
/// If it ends in another way.
pub(super) async fn serve(
    reader: impl AsyncRead + Unpin,
    writer: impl AsyncWrite + Unpin,
    take: impl Fn(Call, Respond),
    stopping: &CancellationToken,
) -> Result<()> {
    let stopped = async {
        stopping.cancelled().await;
        // What it was about to say may be on its way.
        sleep(LAST_WORDS).await;
    };
    let opened = tokio::select! {
        opened = open(reader) => opened,
        () = stopped => None,
    };
    let Some(reader) = opened else { return Ok(()) };
    let heard = AtomicBool::new(false);
    let reader = InspectReader::new(reader, |_| heard.store(true, Ordering::Relaxed));
    let writer = Outgoing::new(writer);
    let stream = tokio::io::join(reader, writer.share());
    let connection = pin!(async {
        let mut http = Builder::new();
        http.max_concurrent_streams(STREAMS)
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(MAX_HEADERS)
            // Deadlines pass together: calls that are given up before they were taken are no attack.
            .max_pending_accept_reset_streams(STREAMS as usize)
            .data_frame_budget(SMALL_FRAMES);
        let connection = http.handshake(stream).await.map_err(Error::other)?;
        answer(connection, take, &heard, stopping).await
    });
    writer.send_for(connection).await?
}

/// Waits for the words that every HTTP/2 client begins with: a connection that never says them must not
/// keep its place. h2 reads them once more, so they are put in front again.
async fn open<R: AsyncRead + Unpin>(mut reader: R) -> Option<impl AsyncRead + Unpin> {
    let mut said = [0; PREFACE.len()];
    let read = timeout(FIRST_WORDS, reader.read_exact(&mut said)).await;
    let opened = matches!(read, Ok(Ok(_))) && said == *PREFACE;
    opened.then(|| Cursor::new(said).chain(reader))
}

/// Answers calls until the client goes, or does not answer any more, or the server stops.
async fn answer<T: AsyncRead + AsyncWrite + Unpin>(
    mut connection: Connection<T, Bytes>,
    take: impl Fn(Call, Respond),
    heard: &AtomicBool,
    stopping: &CancellationToken,
) -> Result<()> {
    let pings = connection.ping_pong();
    let mut vanished = pin!(vanished(pings, heard));
    tokio::select! {
        biased;
        ended = calls(&mut connection, &take) => return ended,
        error = &mut vanished => return Err(error),
        () = stopping.cancelled() => {}
    }
    // GOAWAY: what was begun is answered, what comes later goes elsewhere.
    connection.graceful_shutdown();
    tokio::select! {
        biased;
        ended = calls(&mut connection, &take) => ended,
        error = vanished => Err(error),
    }
}

/// Hands every call on; ends with the connection.
async fn calls<T: AsyncRead + AsyncWrite + Unpin>(
    connection: &mut Connection<T, Bytes>,
    take: &impl Fn(Call, Respond),
) -> Result<()> {
    loop {
        match poll_fn(|context| turn(connection, take, context)).await? {
            Turn::Over => tokio::task::yield_now().await,
            Turn::Last => return Ok(()),
        }
    }
}

enum Turn {
    Over,
    Last,
}

/// Hands on the calls that are here, until its time is over.
fn turn<T: AsyncRead + AsyncWrite + Unpin>(
    connection: &mut Connection<T, Bytes>,
    take: &impl Fn(Call, Respond),
    context: &mut Context<'_>,
) -> Poll<Result<Turn>> {
    let began = Instant::now();
    while let Some(call) = ready!(connection.poll_accept(context)) {
        let (request, respond) = call.map_err(Error::other)?;
        take(request, respond);
        if began.elapsed() >= TURN {
            return Poll::Ready(Ok(Turn::Over));
        }
    }
    Poll::Ready(Ok(Turn::Last))
}

/// Asks a client that is silent whether it is there: one that has vanished without a word would keep its
/// place for ever. Ends when it has. `heard`: set by all that it says.
async fn vanished(pings: Option<PingPong>, heard: &AtomicBool) -> Error {
    let Some(mut pings) = pings else { return pending().await };
    let was_heard = || heard.swap(false, Ordering::Relaxed);
    loop {
        sleep(KEEPALIVE).await;
        if was_heard() {
            continue;
        }
        if let Err(error) = pings.send_ping(Ping::opaque()) {
            return Error::other(error);
        }
        // The ping waits its turn behind answers that a slow client has yet to read.
        let answered = loop {
            match timeout(KEEPALIVE_TIMEOUT, poll_fn(|context| pings.poll_pong(context))).await {
                Ok(answered) => break answered,
                Err(_) if was_heard() => {}
                Err(_) => {
                    return Error::new(ErrorKind::TimedOut, "its client does not answer pings");
                }
            }
        };
        if let Err(error) = answered {
            return Error::other(error);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::future::join_all;
    use h2::client::{ResponseFuture, SendRequest};
    use http::Response;
    use std::cell::Cell;
    use std::pin::Pin;
    use tokio::io::{AsyncWriteExt, DuplexStream, duplex, split};

    /// The server's side of a connection on which every call is answered with its own path.
    async fn serve_paths(stream: DuplexStream) -> Result<()> {
        let (reader, writer) = split(stream);
        let take = |call: Call, mut respond: Respond| {
            let mut response = Response::new(());
            let path = call.uri().path().parse().expect("a header");
            response.headers_mut().insert("path", path);
            drop(respond.send_response(response, true));
        };
        serve(reader, writer, take, &CancellationToken::new()).await
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
        // Its first words were the last that were heard of it.
        assert_eq!(began.elapsed().as_secs(), (2 * KEEPALIVE + KEEPALIVE_TIMEOUT).as_secs());
    }

    /// Its pong may wait behind what it has yet to read, or to send.
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

    /// A client, and a connection whose server is yet to be polled.
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

    /// Answers a call as slowly as to fill a turn; says whether the client was still there.
    fn slowly(mut respond: Respond) -> bool {
        let began = Instant::now();
        while began.elapsed() < TURN {}
        respond.send_response(Response::new(()), true).is_ok()
    }

    /// One connection must not keep the others of its thread waiting, whatever is begun on it.
    #[tokio::test]
    async fn many_calls_at_once_let_others_have_their_turn() {
        let (mut calls, server) = client().await;
        let mut responses = join_all((0..9).map(|_| call(&mut calls)).collect::<Vec<_>>());
        let taken = Cell::new(0);
        let take = |_: Call, respond: Respond| {
            taken.set(taken.get() + 1);
            slowly(respond);
        };
        let (reader, writer) = split(server);
        let stopping = CancellationToken::new();
        let mut server = pin!(serve(reader, writer, take, &stopping));
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

    /// A client whose calls have one deadline gives many of them up at once.
    #[tokio::test]
    async fn calls_that_are_given_up_do_not_end_the_others() {
        let (mut calls, server) = client().await;
        let responses = (0..100).map(|_| call(&mut calls)).collect::<Vec<_>>();
        let (answered, given_up) = (Cell::new(0), Cell::new(0));
        let take = |_: Call, respond: Respond| {
            let count = if slowly(respond) { &answered } else { &given_up };
            count.set(count.get() + 1);
        };
        let (reader, writer) = split(server);
        let stopping = CancellationToken::new();
        let mut server = pin!(serve(reader, writer, take, &stopping));
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
        assert!(given_up.get() > 20, "they were answered before they could be given up");
    }

    /// A stream of messages with one id each is no attack, however many lie there unread.
    #[tokio::test]
    async fn small_messages_may_lie_unread_as_long_as_the_window_has_room() {
        const MESSAGES: usize = 1 << 15;
        let (mut calls, server) = client().await;
        let request = Request::post("http://aka/here").body(()).expect("a request");
        let (response, mut body) = calls.send_request(request, false).expect("sent");
        for left in (0..MESSAGES).rev() {
            body.send_data(Bytes::from_static(&[7; 32]), left == 0).expect("sent");
        }
        let (reader, writer) = split(server);
        let take = |call: Call, mut respond: Respond| {
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
            ended = serve(reader, writer, take, &stopping) => panic!("it ended: {ended:?}"),
            response = response => drop(response.expect("answered")),
        }
    }
}
