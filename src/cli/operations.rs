//! One GET request to the metrics port.

use super::fault::{CliFault, root_cause};
use super::server_error::ServerError;
use super::server_url::ServerUrl;
use super::transport::{ClientStream, LastRefusal, ServerTls, TlsArgs};
use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use std::error::Error;
use std::time::Duration;
use tokio::net::TcpStream;
use tonic::Code;

/// The longest answer in bytes: more than any server sends.
const MAX_ANSWER: usize = 4 << 20;

/// Sends `GET path` to `server`, and returns the body of the answer, all within `limit`.
pub(super) async fn get(
    server: &ServerUrl,
    tls: &TlsArgs,
    path: &str,
    limit: Duration,
) -> Result<Bytes, CliFault> {
    let unreachable =
        |message: String| CliFault::Unreachable { server: server.to_string(), message };
    let tls = tls.of(server, b"http/1.1")?;
    let answer = match tokio::time::timeout(limit, ask(server, tls.as_ref(), path)).await {
        Ok(answer) => answer.map_err(|error| unreachable(root_cause(error.as_ref())))?,
        Err(_) => return Err(unreachable(format!("no answer within {} ms", limit.as_millis()))),
    };
    match answer {
        (StatusCode::OK, body) => Ok(body),
        (status, _) => {
            let message =
                format!("{server} answers {status}; is it the metrics port of an aka server?");
            Err(ServerError::new(Code::Unimplemented, "", &message).into())
        }
    }
}

async fn ask(
    server: &ServerUrl,
    tls: Option<&ServerTls>,
    path: &str,
) -> Result<(StatusCode, Bytes), Box<dyn Error + Send + Sync>> {
    let authority = server.authority();
    let stream = TcpStream::connect(server.host_and_port()).await?;
    let stream = ClientStream::open(stream, tls, LastRefusal::default()).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::get(path)
        .header(header::HOST, authority)
        .header(header::USER_AGENT, concat!("aka-cli/", env!("CARGO_PKG_VERSION")))
        .body(Empty::<Bytes>::new())?;
    // The connection must be polled until the answer is there; it ends with the sender.
    let answer = async move {
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await?;
        Ok((status, body.to_bytes()))
    };
    let (answer, _) = tokio::join!(answer, connection);
    answer
}
