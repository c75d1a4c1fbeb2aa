//! The server's side of a call's HTTP/2 stream: headers, framed messages, trailers with the status.

use super::memory::ConnectionMemory;
use super::status::CallFault;
use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, SendStream};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Response};
use std::future::poll_fn;
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};
use tonic::metadata::GRPC_CONTENT_TYPE;
use tonic::{Code, Status};

/// A client that reads nothing of an answer for this long does not get it.
const UNREAD: Duration = Duration::from_secs(30);
/// Nor does one that reads more slowly than a KiB in this time, after that.
const READ_TIME: Duration = Duration::from_secs(1);

/// Answers a call with one framed message, or with a status other than OK. If the client has no room
/// for the message yet, a task sends it as there is.
///
/// # Errors
/// If the client has left.
pub fn answer(
    respond: &mut SendResponse<Bytes>,
    reply: Result<Bytes, Status>,
    memory: &ConnectionMemory,
) -> Result<(), h2::Error> {
    match reply {
        Ok(message) => {
            let mut stream = begin(respond)?;
            stream.reserve_capacity(message.len());
            if stream.capacity() < message.len() {
                let memory = memory.clone();
                tokio::spawn(async move {
                    let sent = send(&mut stream, message, &memory).await?;
                    end(&mut stream, sent.err().as_ref())
                });
                return Ok(());
            }
            match memory.keep(message) {
                Some(message) => stream.send_data(message, false)?,
                None => return end(&mut stream, Some(&CallFault::NoMemory.into())),
            }
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

/// Sends a framed message as the client has room for it, so that h2 holds none that are not read.
/// Meanwhile it counts as held for this client. Returns the status that ends the call if there is no
/// memory for it.
///
/// # Errors
/// If the client has left, or has read nothing for [`UNREAD`].
pub async fn send(
    stream: &mut SendStream<Bytes>,
    message: Bytes,
    memory: &ConnectionMemory,
) -> Result<Result<(), Status>, h2::Error> {
    stream.reserve_capacity(message.len());
    let kept = match stream.capacity() < message.len() {
        true => memory.keep_always(message),
        false => memory.keep(message),
    };
    let Some(mut message) = kept else { return Ok(Err(CallFault::NoMemory.into())) };
    let all_read = Instant::now() + UNREAD + READ_TIME * (message.len() >> 10) as u32;
    while !message.is_empty() {
        while stream.capacity() == 0 {
            let room = poll_fn(|context| stream.poll_capacity(context));
            match timeout_at(all_read.min(Instant::now() + UNREAD), room).await {
                Ok(Some(room)) => room.map(drop)?,
                Ok(None) => return Err(Reason::CANCEL.into()),
                Err(_) => {
                    stream.send_reset(Reason::ENHANCE_YOUR_CALM);
                    return Err(Reason::ENHANCE_YOUR_CALM.into());
                }
            }
        }
        let part = message.split_to(stream.capacity().min(message.len()));
        stream.send_data(part, false)?;
        stream.reserve_capacity(message.len());
    }
    Ok(Ok(()))
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
