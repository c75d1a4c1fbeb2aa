//! Between h2 and tonic: requests in, responses out.

use super::services::PendingResponse;
use crate::rpc::counters::CountedCall;
use crate::rpc::response::{self, unless_gone};
use crate::rpc::status::contract;
use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use http::{HeaderMap, Response};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::{Code, Status};

/// The body of a request, in the form that tonic reads.
pub struct Incoming(pub RecvStream);

impl Body for Incoming {
    type Data = Bytes;
    type Error = h2::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        let Self(body) = &mut *self;
        if let Some(data) = ready!(body.poll_data(context)) {
            let data = data.and_then(|data| {
                body.flow_control().release_capacity(data.len())?;
                Ok(Frame::data(data))
            });
            return Poll::Ready(Some(data));
        }
        let trailers = ready!(body.poll_trailers(context)).transpose();
        Poll::Ready(trailers.map(|trailers| trailers.map(Frame::trailers)))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }
}

/// The body of a request that ends when the server stops, unless more of it has arrived. So a client
/// that keeps a stream open and sends nothing does not delay the stop.
pub struct UntilStopped {
    body: Incoming,
    stopped: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl UntilStopped {
    pub fn new(body: Incoming, stopping: CancellationToken) -> Self {
        Self { body, stopped: Box::pin(stopping.cancelled_owned()) }
    }
}

impl Body for UntilStopped {
    type Data = Bytes;
    type Error = h2::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        if frame.is_pending() && self.stopped.as_mut().poll(context).is_ready() {
            return Poll::Ready(None);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}

/// Sends tonic's response to the client, as fast as it reads.
///
/// # Errors
/// If the client has left.
pub async fn answer(
    mut call: CountedCall,
    mut respond: SendResponse<Bytes>,
    response: PendingResponse,
) -> Result<(), h2::Error> {
    let Ok(response) = unless_gone(|context| respond.poll_reset(context), response).await?;
    let (head, mut body) = in_contract(response).into_parts();
    let code = code(&head.headers);
    let whole = body.is_end_stream();
    let mut stream = respond.send_response(Response::from_parts(head, ()), whole)?;
    if whole {
        call.code = code;
        return Ok(());
    }
    while let Some(frame) = unless_gone(|context| stream.poll_reset(context), body.frame()).await? {
        match frame.map(Frame::into_data) {
            Ok(Ok(data)) => response::send(&mut stream, data).await?,
            Ok(Err(frame)) => {
                let trailers = frame.into_trailers().unwrap_or_default();
                let code = self::code(&trailers);
                stream.send_trailers(trailers)?;
                call.code = code;
                return Ok(());
            }
            Err(status) => {
                let status = contract(status);
                response::end(&mut stream, Some(&status))?;
                call.code = Some(status.code());
                return Ok(());
            }
        }
    }
    stream.send_data(Bytes::new(), true)
}

/// The status code in the headers or trailers of a response.
fn code(headers: &HeaderMap) -> Option<Code> {
    headers.get(Status::GRPC_STATUS).map(|status| Code::from_bytes(status.as_bytes()))
}

/// Gives a response that is only a status the contract's form. Its status is in the headers.
fn in_contract(response: Response<tonic::body::Body>) -> Response<tonic::body::Body> {
    if !response.headers().contains_key(Status::GRPC_STATUS) {
        return match response.status().is_success() {
            true => response,
            // It comes from no service of this server.
            false => contract(Status::unimplemented("")).into_http(),
        };
    }
    match Status::from_header_map(response.headers()) {
        Some(status) if status.code() != Code::Ok && status.details().is_empty() => {
            contract(status).into_http()
        }
        _ => response,
    }
}
