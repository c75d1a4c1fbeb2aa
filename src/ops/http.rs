//! The operations port: `/metrics` for Prometheus, `/livez` and `/readyz` for orchestrators,
//! `/status` for programs, and `/ui` for people.

use super::accept_errors::AcceptErrors;
use super::operations::{Operations, Stage};
use super::status::InstanceStatus;
use crate::page::{self, Visitor};
use crate::shard::Shard;
use crate::tls::{PortTls, TlsPeer};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;
use tokio::time::Instant;

/// How many connections may be open at once. Scrapers and probes need a handful. Beyond it, the one
/// that has been open for longest ends.
pub const CONNECTIONS: usize = 64;

/// How long a client may take to send its request.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a client may take for the handshake of TLS.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Answers requests on `listener` for ever, within TLS if there is one.
pub async fn serve(listener: TcpListener, operations: Arc<Operations>, tls: Option<Arc<PortTls>>) {
    let mut open = OpenConnections::default();
    let mut errors = AcceptErrors::new("operations");
    loop {
        let (stream, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                errors.note(&error);
                // Accepting again at once would only use up CPU time.
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let (operations, tls) = (operations.clone(), tls.clone());
        let serving = tokio::spawn(async move {
            let mut visitor = Visitor { address: Some(address), tls: tls.is_some(), uri: None };
            match tls {
                None => answer_all(stream, &operations, &visitor).await,
                Some(tls) => {
                    let until = Instant::now() + HANDSHAKE_TIMEOUT;
                    if let Some(stream) = tls.accept(stream, until, &operations.metrics).await {
                        visitor.uri = TlsPeer::of(stream.get_ref().1).uri;
                        answer_all(stream, &operations, &visitor).await;
                    }
                }
            }
        });
        open.add(serving.abort_handle());
    }
}

/// The open connections, in the order in which they came.
#[derive(Default)]
struct OpenConnections(VecDeque<AbortHandle>);

impl OpenConnections {
    /// Adds one. If there are too many, the one that has been open for longest ends. So clients that
    /// never read do not keep probes out.
    fn add(&mut self, connection: AbortHandle) {
        self.0.retain(|open| !open.is_finished());
        self.0.push_back(connection);
        if self.0.len() > CONNECTIONS
            && let Some(longest) = self.0.pop_front()
        {
            longest.abort();
        }
    }
}

/// Answers the requests of one connection.
async fn answer_all(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    operations: &Operations,
    visitor: &Visitor,
) {
    let service = service_fn(async |request: Request<Incoming>| {
        Ok::<_, Infallible>(match request.uri().path() {
            page::LOOKUP_PATH => page::look_up(operations.desk(), request, visitor).await,
            _ => answer(operations, &request),
        })
    });
    let mut connection = http1::Builder::new();
    connection.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
    // An error here means that the client broke off. The server has nothing to do then.
    let _ = connection.serve_connection(TokioIo::new(stream), service).await;
}

fn answer(operations: &Operations, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return text(StatusCode::METHOD_NOT_ALLOWED, "only GET\n".to_owned());
    }
    match request.uri().path() {
        "/metrics" => {
            if let Some(cluster) = operations.cluster() {
                cluster.gauge(&operations.metrics);
            }
            text(StatusCode::OK, operations.metrics.render())
        }
        "/livez" => text(StatusCode::OK, "alive\n".to_owned()),
        "/readyz" => readiness(operations),
        "/status" => status(operations),
        path => page::file(path).unwrap_or_else(|| {
            let known = "try /ui, /metrics, /livez, /readyz or /status\n";
            text(StatusCode::NOT_FOUND, known.to_owned())
        }),
    }
}

/// An instance is ready from when its memory is warm to its stop. A database that is down does not
/// make it unready: all instances would be taken out of service at once, and their degraded answers
/// with them. The body says how the shards are.
fn readiness(operations: &Operations) -> Response<Full<Bytes>> {
    let (status, body) = match (operations.stage(), operations.cluster()) {
        (Stage::Ready, Some(cluster)) => {
            let line = |shard: &Arc<Shard>| {
                format!("shard {}: {}\n", shard.id, if shard.is_up() { "up" } else { "down" })
            };
            (StatusCode::OK, cluster.shards().iter().map(line).collect())
        }
        (Stage::Warming, Some(cluster)) => {
            let line = |shard: &Arc<Shard>| {
                shard.lacks().map(|what| format!("warming up; shard {} lacks {what}\n", shard.id))
            };
            let lines = cluster.shards().iter().filter_map(line).collect();
            (StatusCode::SERVICE_UNAVAILABLE, lines)
        }
        (Stage::Stopping, _) => (StatusCode::SERVICE_UNAVAILABLE, "stopping\n".to_owned()),
        (stage, _) => (StatusCode::SERVICE_UNAVAILABLE, starting(&stage)),
    };
    text(status, body)
}

fn starting(stage: &Stage) -> String {
    match stage {
        Stage::Starting { waits_for } if !waits_for.is_empty() => {
            format!("starting; waiting for a shard: {waits_for}\n")
        }
        _ => "starting\n".to_owned(),
    }
}

fn status(operations: &Operations) -> Response<Full<Bytes>> {
    let Some(status) = InstanceStatus::of(operations) else {
        return text(StatusCode::SERVICE_UNAVAILABLE, starting(&operations.stage()));
    };
    match serde_json::to_string(&status) {
        Ok(json) => respond(StatusCode::OK, "application/json", json + "\n"),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    }
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    respond(status, "text/plain; version=0.0.4; charset=utf-8", body)
}

fn respond(status: StatusCode, kind: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    response
}
