//! One HTTP/2 connection, from its preface to its end.
//!
//! It uses h2 directly. The task of the connection takes each call itself, so a call that memory
//! can answer needs no other task.

use super::intake::Intake;
use super::outgoing::{Outgoing, SentBytes};
use super::watched_reader::{Signs, WatchedReader};
use crate::hooks;
use crate::metrics::CloseReason;
use crate::rpc::ConnectionMemory;
use bytes::Bytes;
use h2::server::{Builder, Connection, SendResponse};
use h2::{Ping, PingPong, Reason, RecvStream};
use http::Request;
use std::future::{pending, poll_fn};
use std::io::{Cursor, Error, ErrorKind, Result};
use std::pin::pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::time::{sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

/// The first bytes of every HTTP/2 client (RFC 9113, section 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// How long a client may take to send the preface, and to complete the handshake of TLS before it.
const FIRST_WORDS: Duration = Duration::from_secs(10);

/// How long a server that stops still accepts connections and calls that were on their way.
pub(super) const LAST_ARRIVALS: Duration = Duration::from_millis(100);

/// How long a connection that should end waits for calls that its client sent before it knew. It is
/// longer than the way to any client and back.
const LAST_CALLS: Duration = Duration::from_secs(1);

/// A client that was silent for this long is sent a ping.
const KEEPALIVE: Duration = Duration::from_secs(30);
/// How long it may take to answer the ping.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// A client that reads nothing of what waits for it for this long is cut off, give or take a third.
const UNREAD: Duration = Duration::from_secs(30);
const UNREAD_LOOKS: u32 = 3;

/// The most calls at once on one connection. Calls that wait with the client cost the server
/// nothing, and the client sees how long they take. A client with more to ask sends batches.
const STREAMS: u32 = 256;

/// The most calls that a client has reset before they were taken. While the thread is late, calls
/// with a short deadline are sent and reset many times over. That is no attack, and the GOAWAY would
/// take the other calls along.
const RESETS: usize = 4_096;

/// How many bytes a client may send ahead on one stream, as far as the window of the connection
/// allows it.
const STREAM_WINDOW: u32 = 1 << 20;

/// h2 closes a connection with too many small DATA frames that are not read yet. A frame of n < 256
/// bytes takes 256 - n from this budget. The budget allows a full stream window of messages with
/// one short id each. h2's default is an eighth of it.
const SMALL_FRAMES: usize = 16 << 20;

/// The most bytes of headers of one call.
const MAX_HEADERS: u32 = 16 << 10;

/// For how long a connection takes calls before the other connections of its thread have their
/// turn.
const TURN: Duration = Duration::from_micros(500);

/// When a client that connects now must have sent the preface.
pub(super) fn end_of_first_words() -> tokio::time::Instant {
    tokio::time::Instant::now() + hooks::shortened("AKA_FIRST_WORDS_MS", FIRST_WORDS)
}

/// Returns when a connection that has not begun must end because the server stops. That is a moment
/// later, because the client's first words may be on their way.
pub(super) async fn too_late(leaving: &CancellationToken) {
    leaving.cancelled().await;
    sleep(LAST_ARRIVALS).await;
}

/// Serves a connection until its client leaves, or until `leaving` is cancelled and all calls are
/// answered. The preface must be there at `until`. `take` begins to answer a call, and must not
/// block. `memory` is what the client can make the server keep.
///
/// # Errors
/// If the connection ends in another way.
pub(super) async fn serve(
    reader: impl AsyncRead + Unpin,
    writer: impl AsyncWrite + Unpin,
    until: tokio::time::Instant,
    mut take: impl FnMut(Request<RecvStream>, SendResponse<Bytes>),
    memory: ConnectionMemory,
    leaving: &CancellationToken,
) -> Result<()> {
    let opened = tokio::select! {
        opened = open(reader, until) => opened,
        () = too_late(leaving) => None,
    };
    let Some(reader) = opened else { return Ok(()) };
    let (signs, writer) = (Signs::default(), Outgoing::new(writer, memory.backlog()));
    let reader = WatchedReader::new(reader, PREFACE.len(), &signs, writer.share());
    let stream = tokio::io::join(reader, writer.share());
    let connection = pin!(async {
        let mut http = Builder::new();
        http.max_concurrent_streams(STREAMS)
            .initial_window_size(STREAM_WINDOW)
            .max_header_list_size(MAX_HEADERS)
            .max_pending_accept_reset_streams(RESETS)
            // Those beyond the limit that a new client sends before it knows it are reset here.
            .max_local_error_reset_streams(Some(RESETS))
            .data_frame_budget(SMALL_FRAMES);
        let connection = http.handshake(stream).await.map_err(Error::other)?;
        let intake = Intake::new(&signs, memory.window());
        answer(connection, &mut take, intake, &signs, leaving).await
    });
    let unread = pin!(unread(&writer));
    tokio::select! {
        biased;
        served = writer.send_for(connection) => served?,
        error = unread => Err(error),
    }
}

/// Why the server closed a connection that ended with this error. `None`: the client did.
pub(super) fn close_reason(error: &Error) -> Option<CloseReason> {
    let cause = error.get_ref()?;
    if let Some(reason) = cause.downcast_ref::<CloseReason>() {
        return Some(*reason);
    }
    let error = cause.downcast_ref::<h2::Error>()?;
    (error.is_go_away() && error.is_library()).then(|| match error.reason() {
        Some(Reason::ENHANCE_YOUR_CALM) => CloseReason::TooManyFrames,
        _ => CloseReason::Protocol,
    })
}

/// Returns when bytes for the client have waited for [`UNREAD`] and it has not read one. It may send
/// what it likes meanwhile: whoever does not read has no use for answers.
async fn unread<W: AsyncWrite + Unpin>(writer: &Outgoing<W>) -> Error {
    let part = hooks::shortened("AKA_UNREAD_MS", UNREAD) / UNREAD_LOOKS;
    let (mut before, mut looks) = (0, 0);
    while looks < UNREAD_LOOKS {
        sleep(part).await;
        let sent = writer.sent();
        looks = if writer.is_stuck() && sent == before { looks + 1 } else { 0 };
        before = sent;
    }
    Error::new(ErrorKind::TimedOut, CloseReason::Unread)
}

/// Waits for the preface. A connection that never sends it must not stay open. h2 reads the preface
/// itself, so it is put in front again.
async fn open<R: AsyncRead + Unpin>(
    mut reader: R,
    until: tokio::time::Instant,
) -> Option<impl AsyncRead + Unpin> {
    let mut preface = [0; PREFACE.len()];
    let read = timeout_at(until, reader.read_exact(&mut preface)).await;
    let opened = matches!(read, Ok(Ok(_))) && preface == *PREFACE;
    opened.then(|| Cursor::new(preface).chain(reader))
}

/// Takes calls until the client leaves or does not answer pings, or until the connection should end.
async fn answer<T: AsyncRead + AsyncWrite + Unpin>(
    mut connection: Connection<T, Bytes>,
    take: &mut impl FnMut(Request<RecvStream>, SendResponse<Bytes>),
    mut intake: Intake<'_>,
    signs: &Signs,
    leaving: &CancellationToken,
) -> Result<()> {
    let pings = connection.ping_pong();
    let mut vanished = pin!(vanished(pings, signs));
    // gRPC's C core does not bear a GOAWAY that comes with the settings of a new connection: it
    // keeps the connection, and all its calls fail.
    let settled = sleep(LAST_ARRIVALS);
    let should_end = async {
        leaving.cancelled().await;
        settled.await;
    };
    tokio::select! {
        biased;
        ended = calls(&mut connection, take, &mut intake) => return ended,
        error = &mut vanished => return Err(error),
        () = should_end => {}
    }
    // Sends GOAWAY. Calls that have begun are answered, and the client sends later ones elsewhere.
    connection.graceful_shutdown();
    loop {
        tokio::select! {
            biased;
            ended = calls(&mut connection, take, &mut intake) => return ended,
            error = &mut vanished => return Err(error),
            // A client that ignores the GOAWAY does not keep a connection that it has no use for.
            () = sleep(LAST_CALLS) => if !connection.has_streams() { return Ok(()) },
        }
    }
}

/// Takes every call until the connection ends.
async fn calls<T: AsyncRead + AsyncWrite + Unpin>(
    connection: &mut Connection<T, Bytes>,
    take: &mut impl FnMut(Request<RecvStream>, SendResponse<Bytes>),
    intake: &mut Intake<'_>,
) -> Result<()> {
    loop {
        match poll_fn(|context| turn(connection, take, intake, context)).await? {
            Turn::Over => tokio::task::yield_now().await,
            Turn::Last => return Ok(()),
            Turn::Flood => {
                connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
                // The client may not read it.
                let said = poll_fn(|context| connection.poll_closed(context));
                let _ = timeout(LAST_CALLS, said).await;
                return Err(Error::other(CloseReason::TooManyFrames));
            }
        }
    }
}

/// How a turn of a connection ended.
enum Turn {
    /// Its time is used up, and more calls may wait.
    Over,
    /// The connection has ended.
    Last,
    /// The client sends too many frames that are no calls.
    Flood,
}

/// Takes the calls that have arrived, until the turn is over.
fn turn<T: AsyncRead + AsyncWrite + Unpin>(
    connection: &mut Connection<T, Bytes>,
    take: &mut impl FnMut(Request<RecvStream>, SendResponse<Bytes>),
    intake: &mut Intake<'_>,
    context: &mut Context<'_>,
) -> Poll<Result<Turn>> {
    let began = Instant::now();
    loop {
        let call = connection.poll_accept(context);
        if call.is_pending() {
            if intake.is_flooding() {
                return Poll::Ready(Ok(Turn::Flood));
            }
            if let Some(window) = intake.wider_window() {
                connection.set_target_window_size(window);
                continue;
            }
        }
        let Some(call) = ready!(call) else { return Poll::Ready(Ok(Turn::Last)) };
        let (request, respond) = call.map_err(Error::other)?;
        take(request, respond);
        if began.elapsed() >= TURN {
            return Poll::Ready(Ok(Turn::Over));
        }
    }
}

/// Sends pings to a silent client, and returns when it does not answer. Otherwise a client that
/// vanished without closing its connection would hold it forever.
async fn vanished(pings: Option<PingPong>, signs: &Signs) -> Error {
    let Some(mut pings) = pings else { return pending().await };
    loop {
        sleep(KEEPALIVE).await;
        if signs.was_heard() {
            continue;
        }
        if let Err(error) = pings.send_ping(Ping::opaque()) {
            return Error::other(error);
        }
        // The ping may wait behind answers that a slow client has not read yet.
        let answered = loop {
            match timeout(KEEPALIVE_TIMEOUT, poll_fn(|context| pings.poll_pong(context))).await {
                Ok(answered) => break answered,
                Err(_) if signs.was_heard() => {}
                Err(_) => {
                    return Error::new(ErrorKind::TimedOut, CloseReason::Silent);
                }
            }
        };
        if let Err(error) = answered {
            return Error::other(error);
        }
    }
}

#[cfg(test)]
mod tests;
