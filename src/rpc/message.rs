//! gRPC's messages on an HTTP/2 stream: a flag, a length of four bytes, the message
//! (`Length-Prefixed-Message` of "gRPC over HTTP2").
//!
//! tonic reads and writes them for any codec, compressed or not, one poll after the other. What is asked
//! ten thousand times a second is read and written here: a message lies in what the socket brought, and
//! an answer is one buffer.

use super::status::Fault;
use aka_core::clock::Boottime;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures::future::FutureExt;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Response};
use std::future::poll_fn;
use std::pin::pin;
use std::task::{Context, Poll};
use tokio::time::timeout;
use tonic::metadata::{GRPC_CONTENT_TYPE, MetadataValue};
use tonic::{Code, Status};

/// The flag and the length.
const HEAD: usize = 5;

/// The messages of a client, on one stream.
pub struct Messages {
    body: RecvStream,
    longest: usize,
    /// What was brought and not yet read. A message that came whole is read where it lies.
    chunk: Bytes,
    /// What was brought of a message that comes in several parts; then `chunk` is empty.
    parts: BytesMut,
}

impl Messages {
    /// `longest`: bytes that a message may have.
    pub fn new(body: RecvStream, longest: usize) -> Self {
        Self { body, longest, chunk: Bytes::new(), parts: BytesMut::new() }
    }

    /// The message of a call that has one, if the client sends it in time.
    ///
    /// # Errors
    /// If there is none, or another one, or as [`next`](Self::next).
    pub async fn only(self, until: Boottime) -> Result<Bytes, Status> {
        let mut message = pin!(self.only_one());
        // Most messages are here, and need no clock.
        if let Some(message) = message.as_mut().now_or_never() {
            return message;
        }
        let left = until.since(Boottime::now());
        timeout(left, message).await.unwrap_or_else(|_| Err(Fault::DeadlineExceeded.into()))
    }

    async fn only_one(mut self) -> Result<Bytes, Status> {
        let malformed = |text: &str| Fault::Malformed(text.to_owned());
        let message = self.next().await?.ok_or_else(|| malformed("there is none"))?;
        match self.next().await? {
            None => Ok(message),
            Some(_) => Err(malformed("there is more than one").into()),
        }
    }

    /// The next message; none after the last.
    ///
    /// # Errors
    /// If it is too long, compressed or cut short, or if the client has gone.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Status> {
        loop {
            if let Some(message) = self.take()? {
                return Ok(Some(message));
            }
            match poll_fn(|context| self.body.poll_data(context)).await {
                Some(chunk) => self.add(chunk.map_err(gone)?)?,
                None if self.chunk.is_empty() && self.parts.is_empty() => return Ok(None),
                None => return Err(Fault::Malformed("it is cut short".to_owned()).into()),
            }
        }
    }

    fn add(&mut self, chunk: Bytes) -> Result<(), Status> {
        // There is room for as much again.
        self.body.flow_control().release_capacity(chunk.len()).map_err(gone)?;
        if self.chunk.is_empty() && self.parts.is_empty() {
            self.chunk = chunk;
        } else {
            self.parts.extend_from_slice(&std::mem::take(&mut self.chunk));
            self.parts.extend_from_slice(&chunk);
        }
        Ok(())
    }

    /// The next message, if all of it was brought.
    fn take(&mut self) -> Result<Option<Bytes>, Status> {
        let unread = if self.parts.is_empty() { &self.chunk[..] } else { &self.parts[..] };
        let Some((&[compressed, ref length @ ..], message)) = unread.split_first_chunk::<HEAD>()
        else {
            return Ok(None);
        };
        let length = u32::from_be_bytes(*length) as usize;
        if compressed != 0 {
            let fault = Fault::Unimplemented("compressed messages are not read".to_owned());
            let mut status = Status::from(fault);
            let identity = MetadataValue::from_static("identity");
            status.metadata_mut().insert("grpc-accept-encoding", identity);
            return Err(status);
        }
        if length > self.longest {
            return Err(Fault::MessageTooLarge(self.longest).into());
        }
        if message.len() < length {
            return Ok(None);
        }
        Ok(Some(if self.parts.is_empty() {
            self.chunk.advance(HEAD);
            self.chunk.split_to(length)
        } else {
            self.parts.advance(HEAD);
            self.parts.split_to(length).freeze()
        }))
    }
}

/// The client has reset the stream, or its connection is gone: nobody reads the answer.
fn gone(error: h2::Error) -> Status {
    Status::cancelled(error.to_string())
}

/// A message as it goes out. `length`: the bytes that `encode` writes, at the most.
pub fn framed(length: usize, encode: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    let mut framed = Vec::with_capacity(HEAD + length);
    framed.put_bytes(0, HEAD);
    encode(&mut framed);
    let length = (framed.len() - HEAD) as u32;
    framed[1..HEAD].copy_from_slice(&length.to_be_bytes());
    framed.into()
}

/// Answers a call that has one answer: a framed message, or a status that is none of success.
///
/// # Errors
/// If the client has gone.
pub fn answer(
    respond: &mut SendResponse<Bytes>,
    reply: Result<Bytes, Status>,
) -> Result<(), h2::Error> {
    match reply {
        Ok(message) => {
            let mut stream = begin(respond)?;
            // A client that does not read leaves it with h2, as it would leave it with us.
            stream.send_data(message, false)?;
            end(&mut stream, None)
        }
        Err(status) => respond.send_response(status.into_http(), true).map(drop),
    }
}

/// Waits for what a call waits for, unless its client goes first. `poll_reset`: of the call's stream.
///
/// # Errors
/// If the client has gone.
pub async fn unless_gone<T>(
    mut poll_reset: impl FnMut(&mut Context<'_>) -> Poll<Result<Reason, h2::Error>>,
    awaited: impl Future<Output = T>,
) -> Result<T, h2::Error> {
    let mut awaited = pin!(awaited);
    poll_fn(|context| match poll_reset(context) {
        Poll::Ready(reset) => Poll::Ready(Err(reset.map_or_else(|error| error, Into::into))),
        Poll::Pending => awaited.as_mut().poll(context).map(Ok),
    })
    .await
}

/// Begins an answer of any number of messages.
///
/// # Errors
/// If the client has gone.
pub fn begin(respond: &mut SendResponse<Bytes>) -> Result<SendStream<Bytes>, h2::Error> {
    let mut response = Response::new(());
    response.headers_mut().insert(CONTENT_TYPE, GRPC_CONTENT_TYPE);
    respond.send_response(response, false)
}

/// Sends a framed message as soon as the client has room for some of it: what it does not read must
/// not gather here.
///
/// # Errors
/// If the client has gone.
pub async fn send(stream: &mut SendStream<Bytes>, message: Bytes) -> Result<(), h2::Error> {
    stream.reserve_capacity(1);
    while stream.capacity() == 0 {
        match poll_fn(|context| stream.poll_capacity(context)).await {
            Some(room) => room.map(drop)?,
            None => return Err(Reason::CANCEL.into()),
        }
    }
    stream.send_data(message, false)
}

/// Ends an answer, well or with this status.
///
/// # Errors
/// If the client has gone.
pub fn end(stream: &mut SendStream<Bytes>, status: Option<&Status>) -> Result<(), h2::Error> {
    let mut trailers = HeaderMap::with_capacity(1);
    if status.is_none_or(|status| status.add_header(&mut trailers).is_err()) {
        let code = if status.is_none() { Code::Ok } else { Code::Internal };
        trailers.insert(Status::GRPC_STATUS, HeaderValue::from(code as i32));
    }
    stream.send_trailers(trailers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;
    use prost::Message as _;
    use tokio::io::duplex;
    use tonic_types::StatusExt;

    /// What is read of a stream whose client sends these pieces and ends it.
    async fn read(pieces: Vec<Vec<u8>>, longest: usize) -> Result<Vec<Bytes>, Status> {
        let (client, server) = duplex(1 << 10);
        let sending = async {
            let (mut calls, connection) = h2::client::handshake(client).await.expect("opened");
            tokio::spawn(connection);
            let request = Request::post("http://aka/here").body(()).expect("a request");
            let (response, mut body) = calls.send_request(request, false).expect("sent");
            for piece in pieces {
                send(&mut body, piece.into()).await.expect("sent");
            }
            body.send_data(Bytes::new(), true).expect("sent");
            drop(response.await);
        };
        let reading = async {
            let mut connection = h2::server::handshake(server).await.expect("opened");
            let (call, mut respond) = connection.accept().await.expect("a call").expect("a call");
            tokio::spawn(async move { while let Some(Ok(_)) = connection.accept().await {} });
            let mut messages = Messages::new(call.into_body(), longest);
            let mut read = Vec::new();
            let outcome = loop {
                match messages.next().await {
                    Ok(Some(message)) => read.push(message),
                    Ok(None) => break Ok(read),
                    Err(status) => break Err(status),
                }
            };
            answer(&mut respond, Ok(framed(0, |_| {}))).expect("answered");
            outcome
        };
        tokio::join!(reading, sending).0
    }

    fn message(bytes: &[u8]) -> Vec<u8> {
        framed(bytes.len(), |buffer| buffer.extend_from_slice(bytes)).into()
    }

    #[tokio::test]
    async fn messages_are_read_wherever_they_are_cut() {
        let sent = [&b"one"[..], b"", b"a longer one", &[7; 300]];
        let wire = sent.map(message).concat();
        for cut in 0..wire.len() {
            let (before, after) = wire.split_at(cut);
            let (between, after) = after.split_at(after.len().min(20));
            let pieces = [before, between, after].map(<[u8]>::to_vec).to_vec();
            assert_eq!(read(pieces, 300).await.expect("read"), sent, "{cut}");
        }
        assert_eq!(read(Vec::new(), 300).await.expect("read"), Vec::<Bytes>::new());
    }

    #[tokio::test]
    async fn what_is_no_message_is_said_to_be_none() {
        let reason = async |pieces: &[&[u8]], longest| {
            let pieces = pieces.iter().map(|piece| piece.to_vec()).collect();
            let status = read(pieces, longest).await.expect_err("refused");
            (status.code(), status.get_details_error_info().expect("a reason").reason)
        };
        let malformed = (Code::InvalidArgument, "MALFORMED_MESSAGE".to_owned());
        assert_eq!(reason(&[&[0]], 9).await, malformed);
        assert_eq!(reason(&[&[0, 0, 0, 0, 2, 1]], 9).await, malformed);
        assert_eq!(reason(&[&message(b"x"), &[0, 0, 0, 0, 1]], 9).await, malformed);
        let too_large = (Code::InvalidArgument, "MESSAGE_TOO_LARGE".to_owned());
        assert_eq!(reason(&[&message(b"0123456789")], 9).await, too_large);
        // Nothing is kept free for what a length only claims.
        assert_eq!(reason(&[&[0, 255, 255, 255, 255]], 9).await, too_large);
        let compressed = (Code::Unimplemented, "UNIMPLEMENTED".to_owned());
        assert_eq!(reason(&[&[1, 0, 0, 0, 0]], 9).await, compressed);
    }

    #[test]
    fn a_message_is_framed_at_its_length() {
        let answer = aka_wire::pb::ResolveResponse { is_alias: true, ..Default::default() };
        let framed = framed(answer.encoded_len(), |buffer| answer.encode_raw(buffer));
        assert_eq!(framed, [&[0, 0, 0, 0, 2][..], &answer.encode_to_vec()].concat());
    }
}
