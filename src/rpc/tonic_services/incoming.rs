//! From h2 to tonic: the bodies of requests.

use crate::auth::Pass;
use crate::rpc::memory::{ConnectionMemory, HeldMemory};
use crate::rpc::status::CallFault;
use aka_wire::MAX_MESSAGE;
use aka_wire::frame::PREFIX;
use bytes::Bytes;
use h2::RecvStream;
use http::Request;
use http_body::{Body, Frame};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Sleep, sleep};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::Status;

/// About how many bytes a header takes besides its name and value.
const HEADER: usize = 64;

/// The body of a request, in the form that tonic reads. What has come of it counts as held for its
/// client until the call is over.
pub struct Incoming {
    body: RecvStream,
    held: HeldMemory,
    heads: MessageHeads,
    limit: Option<ReadLimit>,
}

/// Finds out how long the messages are that a client has begun. tonic reserves the memory for a whole
/// message as soon as it has the head, so the head counts, and not what has come.
#[derive(Default)]
struct MessageHeads {
    /// The part of a head that has come, of a head that came in pieces.
    head: [u8; PREFIX],
    got: usize,
    /// How many bytes of a message are still to come.
    rest: usize,
}

impl MessageHeads {
    /// How many bytes the messages have whose heads are whole with these bytes.
    fn claimed(&mut self, mut bytes: &[u8]) -> usize {
        let mut claimed = 0;
        loop {
            let passed = self.rest.min(bytes.len());
            self.rest -= passed;
            bytes = &bytes[passed..];
            let taken = bytes.len().min(PREFIX - self.got);
            self.head[self.got..self.got + taken].copy_from_slice(&bytes[..taken]);
            bytes = &bytes[taken..];
            self.got += taken;
            if self.got < PREFIX {
                return claimed;
            }
            let [_flag, length @ ..] = self.head;
            self.rest = u32::from_be_bytes(length) as usize;
            self.got = 0;
            // tonic refuses a longer one before it reserves anything.
            claimed += PREFIX + self.rest.min(MAX_MESSAGE);
        }
    }
}

/// How long the messages of a call may take, from when they are first waited for.
enum ReadLimit {
    NotWaited(Duration),
    Waits(Pin<Box<Sleep>>),
}

impl ReadLimit {
    /// Returns when the time is over.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if let Self::NotWaited(limit) = *self {
            *self = Self::Waits(Box::pin(sleep(limit)));
        }
        match self {
            Self::Waits(sleep) => sleep.as_mut().poll(context),
            Self::NotWaited(_) => Poll::Pending,
        }
    }
}

impl Incoming {
    /// Takes the request's headers into account, too. `None`: there is no memory for them.
    pub fn new(request: Request<RecvStream>, memory: &ConnectionMemory) -> Option<Request<Self>> {
        let headers = request.headers().iter();
        let headers = headers.map(|(name, value)| HEADER + name.as_str().len() + value.len());
        let held = memory.take(headers.sum())?;
        Some(request.map(|body| Self { body, held, heads: MessageHeads::default(), limit: None }))
    }

    /// All messages must come in this time.
    pub fn within(mut self, limit: Duration) -> Self {
        self.limit = Some(ReadLimit::NotWaited(limit));
        self
    }
}

impl Body for Incoming {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let Self { body, held, heads, limit } = &mut *self;
        let failed = |error: h2::Error| Status::cancelled(error.to_string());
        let data = body.poll_data(context);
        if data.is_pending() && limit.as_mut().is_some_and(|limit| limit.poll(context).is_ready()) {
            return Poll::Ready(Some(Err(CallFault::DeadlineExceeded.into())));
        }
        if let Some(data) = ready!(data) {
            let data = data.map_err(failed).and_then(|data| {
                if !held.grow(heads.claimed(&data)) {
                    return Err(CallFault::NoMemory.into());
                }
                body.flow_control().release_capacity(data.len()).map_err(failed)?;
                Ok(Frame::data(data))
            });
            return Poll::Ready(Some(data));
        }
        let trailers = ready!(body.poll_trailers(context)).transpose();
        Poll::Ready(trailers.map(|trailers| trailers.map(Frame::trailers).map_err(failed)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}

/// The body of a request that ends when the server stops, unless more of it has arrived. So a
/// client that keeps a stream open and sends nothing does not delay the stop. If there is a pass, it
/// is a body for as long as that holds.
pub struct UntilStopped {
    body: Incoming,
    stopped: Pin<Box<WaitForCancellationFutureOwned>>,
    pass: Option<Pass>,
}

impl UntilStopped {
    pub fn new(body: Incoming, stopping: CancellationToken, pass: Option<Pass>) -> Self {
        Self { body, stopped: Box::pin(stopping.cancelled_owned()), pass }
    }
}

impl Body for UntilStopped {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        if frame.is_pending() && self.stopped.as_mut().poll(context).is_ready() {
            return Poll::Ready(None);
        }
        // With each message: a stream outlives changes of the principals.
        if let (Poll::Ready(Some(_)), Some(Err(denial))) =
            (&frame, self.pass.as_ref().map(Pass::holds))
        {
            return Poll::Ready(Some(Err(denial.into())));
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzz::always;
    use aka_wire::frame::framed;

    #[test]
    fn what_is_claimed_does_not_depend_on_where_the_chunks_end() {
        always(|random| {
            let messages: Vec<Vec<u8>> = random.arbitrary()?;
            let frame = |message: &Vec<u8>| {
                framed(message.len(), |buffer| buffer.extend_from_slice(message))
            };
            let wire = messages.iter().map(frame).collect::<Vec<_>>().concat();
            let mut heads = MessageHeads::default();
            let chunks = wire.chunks(random.int_in_range(1..=64)?);
            assert_eq!(chunks.map(|chunk| heads.claimed(chunk)).sum::<usize>(), wire.len());
            Ok(())
        });
        let mut heads = MessageHeads::default();
        assert_eq!(heads.claimed(&[0, 0, 16, 0, 0]), PREFIX + (1 << 20));
        assert_eq!(heads.claimed(&[0; 100]), 0, "it belongs to the message");
    }
}
