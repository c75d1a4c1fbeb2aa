//! The messages that a client sends on the stream of one call.

use crate::rpc::memory::{ConnectionMemory, HeldMemory};
use crate::rpc::status::CallFault;
use aka_core::clock::Boottime;
use aka_wire::encoding::Encoding;
use aka_wire::frame::Frames;
use bytes::Bytes;
use futures::future::FutureExt;
use futures::stream::Stream;
use h2::RecvStream;
use http::Request;
use std::future::poll_fn;
use std::pin::pin;
use std::time::Duration;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::Status;

/// How long the rest of a message may take that has begun.
const LONGEST_MESSAGE_TIME: Duration = Duration::from_secs(10);

/// A whole message of at most so many bytes is not counted. So the calls that memory answers at once
/// do without.
const SMALL_MESSAGE: usize = 16 << 10;

/// A whole message. Dropping it gives its memory back.
pub struct KeptMessage {
    pub bytes: Bytes,
    _held: HeldMemory,
}

/// The messages of a client. A message that lies in one chunk is read where it was received.
pub struct Messages {
    body: RecvStream,
    frames: Frames,
    /// The bytes in `frames` while they are no whole message.
    held: HeldMemory,
    /// Until when the rest of a message that has begun must come.
    rest_until: Option<Boottime>,
    /// When it is cancelled, the client may send no more bytes than it was allowed already.
    leaving: Option<CancellationToken>,
}

impl Messages {
    /// `longest` is the most bytes that a message may have. What has come of a message that is not
    /// whole is held in `memory`.
    pub fn new(request: Request<RecvStream>, longest: usize, memory: &ConnectionMemory) -> Self {
        let encoding = Encoding::of(request.headers());
        let frames = Frames::new(longest, encoding);
        let (body, held) = (request.into_body(), memory.nothing());
        Self { body, frames, held, rest_until: None, leaving: None }
    }

    /// The message of a call that has exactly one, if the client sends it in time.
    ///
    /// # Errors
    /// If there is no message or more than one, if the deadline passes, or as [`next`](Self::next).
    pub async fn only(self, until: Boottime) -> Result<KeptMessage, Status> {
        let mut message = pin!(self.only_one());
        // Most messages are here already, and need no timer.
        if let Some(message) = message.as_mut().now_or_never() {
            return message;
        }
        let left = until.since(Boottime::now());
        timeout(left, message).await.unwrap_or_else(|_| Err(CallFault::DeadlineExceeded.into()))
    }

    async fn only_one(mut self) -> Result<KeptMessage, Status> {
        let malformed = |text: &str| CallFault::Malformed(text.to_owned());
        let message = self.next().await?.ok_or_else(|| malformed("there is none"))?;
        match self.next().await? {
            None => self.keep(message),
            Some(_) => Err(malformed("there is more than one").into()),
        }
    }

    /// Counts a whole message as held until its call is answered, which may wait for a shard.
    fn keep(&self, bytes: Bytes) -> Result<KeptMessage, Status> {
        let mut held = self.held.another();
        if bytes.len() > SMALL_MESSAGE && !held.grow(bytes.len()) {
            return Err(CallFault::NoMemory.into());
        }
        Ok(KeptMessage { bytes, _held: held })
    }

    /// The next message, or `None` after the last.
    ///
    /// # Errors
    /// If the message is too long, cut short, or compressed in a way that cannot be read, if there
    /// is no memory for it, if its rest does not come in time, or if the client has left.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Status> {
        loop {
            if let Some(message) = self.frames.next_message().map_err(CallFault::from)? {
                self.held.release();
                self.rest_until = None;
                return Ok(Some(message));
            }
            if !self.held.hold(self.frames.len()) {
                return Err(CallFault::NoMemory.into());
            }
            let Some(chunk) = self.chunk().await? else {
                self.frames.end().map_err(CallFault::from)?;
                return Ok(None);
            };
            if self.leaving.as_ref().is_none_or(|leaving| !leaving.is_cancelled()) {
                // The client may send as many bytes again.
                self.body.flow_control().release_capacity(chunk.len()).map_err(left)?;
            }
            self.frames.push(chunk);
        }
    }

    /// The next bytes of the client, if they come in time. `None`: it has ended its half.
    async fn chunk(&mut self) -> Result<Option<Bytes>, Status> {
        let mut chunk = poll_fn(|context| self.body.poll_data(context));
        let chunk = if self.frames.is_empty() {
            chunk.await
        } else {
            // Mostly it is here already, and needs no timer.
            match (&mut chunk).now_or_never() {
                Some(chunk) => chunk,
                None => {
                    let until = *self
                        .rest_until
                        .get_or_insert_with(|| Boottime::now().plus(LONGEST_MESSAGE_TIME));
                    let left = until.since(Boottime::now());
                    let chunk = timeout(left, chunk).await;
                    chunk.map_err(|_| CallFault::DeadlineExceeded)?
                }
            }
        };
        chunk.transpose().map_err(left)
    }

    /// All messages until the connection should end, and those that have arrived by then. The last
    /// item is an error that sends the client elsewhere.
    pub fn until_stopped(
        mut self,
        leaving: CancellationToken,
    ) -> impl Stream<Item = Result<KeptMessage, Status>> + Send {
        self.leaving = Some(leaving.clone());
        // One for the whole stream: making one takes a lock that all calls share.
        let stopped = Box::pin(leaving.cancelled_owned());
        futures::stream::unfold((Some(self), stopped), |(messages, mut stopped)| async move {
            let mut messages = messages?;
            tokio::select! {
                biased;
                message = messages.next() => match message.transpose()?.and_then(|m| messages.keep(m)) {
                    Ok(message) => Some((Ok(message), (Some(messages), stopped))),
                    Err(status) => Some((Err(status), (None, stopped))),
                },
                () = &mut stopped => Some((Err(CallFault::ShuttingDown.into()), (None, stopped))),
            }
        })
    }
}

/// The client has reset the stream or closed the connection. It does not read the answer.
fn left(error: h2::Error) -> Status {
    Status::cancelled(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rpc::memory::RequestMemory;
    use metrics::{Counter, Gauge};
    use std::sync::Arc;
    use tokio::io::duplex;
    use tonic::Code;
    use tonic_types::StatusExt;

    /// The client sends these bytes in two chunks and ends its side. Returns the code and the
    /// reason of the refusal.
    async fn refusal(sent: (&'static [u8], &'static [u8])) -> (Code, String) {
        let (client, server) = duplex(1 << 10);
        let (mut calls, connection) = h2::client::handshake(client).await.expect("opened");
        tokio::spawn(connection);
        let request = Request::post("http://aka/here").body(()).expect("a request");
        let (_response, mut body) = calls.send_request(request, false).expect("sent");
        body.send_data(Bytes::from_static(sent.0), false).expect("sent");
        body.send_data(Bytes::from_static(sent.1), true).expect("sent");
        let mut connection = h2::server::handshake(server).await.expect("opened");
        let (call, _respond) = connection.accept().await.expect("a call").expect("a call");
        tokio::spawn(async move { while let Some(Ok(_)) = connection.accept().await {} });
        let memory = RequestMemory::new(1 << 20, Gauge::noop(), Counter::noop());
        let mut messages = Messages::new(call, 9, &Arc::new(memory).of_connection());
        let status = loop {
            match messages.next().await {
                Ok(message) => assert_eq!(message.expect("an error comes first"), "x"),
                Err(status) => break status,
            }
        };
        (status.code(), status.get_details_error_info().expect("a reason").reason)
    }

    #[tokio::test]
    async fn a_bad_frame_is_refused() {
        let malformed = (Code::InvalidArgument, "MALFORMED_MESSAGE".to_owned());
        assert_eq!(refusal((b"\0\0\0\0\x01x", b"\0\0\0\0\x01")).await, malformed);
        assert_eq!(refusal((b"\0\0\0\0\x01x\0", b"")).await, malformed);
        let too_large = (Code::InvalidArgument, "MESSAGE_TOO_LARGE".to_owned());
        assert_eq!(refusal((b"\0\0\0\0\x01x\0\0", b"\0\0\x0a")).await, too_large);
        let unnamed = (Code::Internal, "MALFORMED_MESSAGE".to_owned());
        assert_eq!(refusal((b"\x01\0\0\0", b"\0")).await, unnamed);
        assert_eq!(refusal((b"\x02\0\0\0", b"\0")).await, malformed);
    }
}
