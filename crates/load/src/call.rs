//! One gRPC call over HTTP/2.

use aka_wire::MAX_MESSAGE;
use aka_wire::encoding::Encoding;
use aka_wire::frame::{FrameFault, Frames};
use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Request};
use tonic::{Code, Status};

/// A call had no answer. The code is the server's, or stands for a fault on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CallFailed {
    pub code: Code,
    /// The server said that it has not looked at the call: the stream is beyond the last one of its
    /// GOAWAY, or was refused. gRPC clients repeat such a call also if they retry nothing else
    /// ("transparent retry", gRPC proposal A6).
    pub was_not_taken: bool,
}

impl CallFailed {
    pub fn of(code: Code) -> Self {
        Self { code, was_not_taken: false }
    }
}

impl From<h2::Error> for CallFailed {
    fn from(error: h2::Error) -> Self {
        let was_not_taken = error.is_remote()
            && match error.reason() {
                Some(Reason::NO_ERROR) => error.is_go_away(),
                Some(Reason::REFUSED_STREAM) => error.is_reset(),
                _ => false,
            };
        Self { code: Code::Unavailable, was_not_taken }
    }
}

impl From<FrameFault> for CallFailed {
    fn from(_: FrameFault) -> Self {
        Self::of(Code::Internal)
    }
}

/// A call that has begun. Messages go both ways until one side ends it.
pub(crate) struct OpenCall {
    requests: SendStream<Bytes>,
    answers: Answers,
}

impl OpenCall {
    /// Sends the head of the request.
    pub fn begin(mut sender: SendRequest<Bytes>, head: &Request<()>) -> Result<Self, CallFailed> {
        let (response, requests) = sender.send_request(head.clone(), false)?;
        Ok(Self { requests, answers: Answers::new(response) })
    }

    /// Sends one message, and waits for the one that answers it. After an error the call is over.
    pub async fn ask(&mut self, frame: Bytes) -> Result<Bytes, CallFailed> {
        self.requests.send_data(frame, false)?;
        self.answers.message().await?.ok_or(CallFailed::of(Code::Internal))
    }

    /// Sends the only message of a unary call, and waits for its answer and its status.
    pub async fn ask_once(mut self, frame: Bytes) -> Result<Bytes, CallFailed> {
        self.requests.send_data(frame, true)?;
        let message = self.answers.message().await?.ok_or(CallFailed::of(Code::Internal))?;
        // The status comes after the answer.
        match self.answers.message().await? {
            None => Ok(message),
            Some(_) => Err(CallFailed::of(Code::Internal)),
        }
    }

    /// Ends the call in order. The server counts a stream that is just dropped as cancelled.
    pub async fn end(mut self) -> Result<(), CallFailed> {
        self.requests.send_data(Bytes::new(), true)?;
        self.answers.message().await.map(drop)
    }
}

/// The messages of the server, one after the other.
struct Answers {
    /// The head of the response, until it has come.
    response: Option<ResponseFuture>,
    body: Option<RecvStream>,
    frames: Frames,
}

impl Answers {
    fn new(response: ResponseFuture) -> Self {
        // A batch of 10,000 of the run's ids needs a fifth of this.
        Self {
            response: Some(response),
            body: None,
            frames: Frames::new(MAX_MESSAGE, Encoding::Identity),
        }
    }

    /// The next message. `None` if the call has ended with OK.
    async fn message(&mut self) -> Result<Option<Bytes>, CallFailed> {
        if let Some(response) = self.response.take() {
            let (head, body) = response.await?.into_parts();
            if !head.status.is_success() {
                return Err(CallFailed::of(Code::Unknown));
            }
            if head.headers.contains_key(Status::GRPC_STATUS) {
                return status(&head.headers).map(|()| None);
            }
            self.body = Some(body);
        }
        let Some(body) = &mut self.body else { return Err(CallFailed::of(Code::Internal)) };
        loop {
            if let Some(message) = self.frames.next_message()? {
                return Ok(Some(message));
            }
            let Some(chunk) = body.data().await else {
                let trailers = body.trailers().await?;
                return status(&trailers.unwrap_or_default()).map(|()| None);
            };
            let chunk = chunk?;
            let _ = body.flow_control().release_capacity(chunk.len());
            self.frames.push(chunk);
        }
    }
}

/// The status in a head or in trailers.
fn status(headers: &HeaderMap) -> Result<(), CallFailed> {
    let code = headers.get(Status::GRPC_STATUS).map(|code| Code::from_bytes(code.as_bytes()));
    match code.unwrap_or(Code::Internal) {
        Code::Ok => Ok(()),
        code => Err(CallFailed::of(code)),
    }
}
