//! From tonic to h2: responses.

use super::services::PendingResponse;
use crate::rpc::counters::CountedCall;
use crate::rpc::response::{self, unless_gone};
use crate::rpc::status::contract;
use bytes::Bytes;
use h2::server::SendResponse;
use http::{HeaderMap, Response};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use tonic::{Code, Status};

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

/// Puts an `ErrorInfo` on a response that is only a status, which is in its headers.
fn in_contract(response: Response<tonic::body::Body>) -> Response<tonic::body::Body> {
    if !response.headers().contains_key(Status::GRPC_STATUS) {
        return match response.status().is_success() {
            true => response,
            // tonic made this response, and not a service of this server.
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
