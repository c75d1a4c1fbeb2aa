//! The server's side of a call's HTTP/2 stream: headers, framed messages, trailers with the status.

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, SendStream};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Response};
use std::future::poll_fn;
use std::pin::pin;
use std::task::{Context, Poll};
use tonic::metadata::GRPC_CONTENT_TYPE;
use tonic::{Code, Status};

/// Answers a call with one framed message, or with a status other than OK.
///
/// # Errors
/// If the client has left.
pub fn answer(
    respond: &mut SendResponse<Bytes>,
    reply: Result<Bytes, Status>,
) -> Result<(), h2::Error> {
    match reply {
        Ok(message) => {
            let mut stream = begin(respond)?;
            // h2 holds the message until the client reads it. To wait here would hold it a second
            // time.
            stream.send_data(message, false)?;
            end(&mut stream, None)
        }
        Err(status) => respond.send_response(status.into_http(), true).map(drop),
    }
}

/// Waits for a future, but no longer than the client stays. `poll_reset` is that of the call's
/// stream.
///
/// # Errors
/// If the client has left.
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
/// If the client has left.
pub fn begin(respond: &mut SendResponse<Bytes>) -> Result<SendStream<Bytes>, h2::Error> {
    let mut response = Response::new(());
    response.headers_mut().insert(CONTENT_TYPE, GRPC_CONTENT_TYPE);
    respond.send_response(response, false)
}

/// Sends a framed message once the client has room for some of it. So unread messages do not gather
/// here.
///
/// # Errors
/// If the client has left.
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

/// Ends an answer with OK or with this status.
///
/// # Errors
/// If the client has left.
pub fn end(stream: &mut SendStream<Bytes>, status: Option<&Status>) -> Result<(), h2::Error> {
    let mut trailers = HeaderMap::with_capacity(1);
    if status.is_none_or(|status| status.add_header(&mut trailers).is_err()) {
        let code = if status.is_none() { Code::Ok } else { Code::Internal };
        trailers.insert(Status::GRPC_STATUS, HeaderValue::from(code as i32));
    }
    stream.send_trailers(trailers)
}
