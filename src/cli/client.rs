//! The options and the connection of all commands that call a server.

use super::fault::{CliFault, root_cause};
use super::server_url::ServerUrl;
use super::token::TokenArgs;
use super::transport::{ClientStream, LastRefusal, ServerTls, TlsArgs};
use clap::Args;
use http::header::AUTHORIZATION;
use http::{HeaderMap, Uri};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use std::error::Error;
use std::time::Duration;
use tonic::metadata::{Ascii, MetadataMap, MetadataValue};
use tonic::transport::{Channel, Endpoint};
use tonic::{Extensions, Request, Response, Status};
use tower::{ServiceExt, service_fn};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const DEFAULT_SERVER: &str = "http://127.0.0.1:50051";

/// Which server to ask, and how long to wait for it.
#[derive(Args, Clone, Debug)]
pub struct ClientArgs {
    /// The server, as URL or as HOST:PORT; https://… speaks TLS
    #[arg(long, env = "AKA_SERVER", value_name = "URL", default_value = DEFAULT_SERVER)]
    #[arg(value_parser = ServerUrl::parse)]
    pub server: ServerUrl,

    /// How long the server may take for each call, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 10_000)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=86_400_000))]
    pub timeout_ms: u64,

    #[command(flatten)]
    pub tls: TlsArgs,

    #[command(flatten)]
    pub token: TokenArgs,
}

/// The project whose ids are meant.
#[derive(Args, Clone, Copy, Debug)]
pub struct ProjectArgs {
    /// The project that the ids belong to
    #[arg(long, env = "AKA_PROJECT", value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=i64::MAX as u64))]
    pub project: u64,
}

/// A connection to a server. Clones share it; it reconnects by itself.
#[derive(Clone, Debug)]
pub struct Connection {
    pub channel: Channel,
    server: ServerUrl,
    timeout_ms: u64,
    refusal: LastRefusal,
    /// What all calls carry besides their message.
    metadata: MetadataMap,
}

impl ClientArgs {
    /// Connects before any call, to tell an unreachable server from a call that failed.
    pub async fn connect(&self) -> Result<Connection, CliFault> {
        let unreachable = |fault: tonic::transport::Error| CliFault::Unreachable {
            server: self.server.to_string(),
            message: root_cause(&fault),
        };
        // The connector below speaks TLS, and tonic would do so once more for an https endpoint.
        let url = self.server.to_string();
        let plain = url.replacen("https://", "http://", 1);
        let endpoint = Endpoint::from_shared(plain)
            .and_then(|endpoint| {
                endpoint.user_agent(concat!("aka-cli/", env!("CARGO_PKG_VERSION")))
            })
            .map_err(unreachable)?;
        let uri = Uri::try_from(url).map_err(|error| CliFault::Usage(error.to_string()))?;
        let endpoint = endpoint.origin(uri.clone());
        let (tls, metadata) = (self.tls()?, self.metadata()?);
        let refusal = LastRefusal::default();
        let of_streams = refusal.clone();
        let connector = service_fn(move |_| open(uri.clone(), tls.clone(), of_streams.clone()));
        let endpoint = endpoint.connect_timeout(CONNECT_TIMEOUT);
        let connected = endpoint.connect_with_connector(connector).await;
        let channel = connected.map_err(unreachable)?;
        let (server, timeout_ms) = (self.server.clone(), self.timeout_ms);
        Ok(Connection { channel, server, timeout_ms, refusal, metadata })
    }

    /// The metadata that says who calls.
    fn metadata(&self) -> Result<MetadataMap, CliFault> {
        let mut headers = HeaderMap::new();
        if let Some(mut token) = self.token.header()? {
            // It is shown as such nowhere.
            token.set_sensitive(true);
            headers.insert(AUTHORIZATION, token);
        }
        Ok(MetadataMap::from_headers(headers))
    }

    /// How to speak TLS with the server. `None`: it is named without https.
    pub(super) fn tls(&self) -> Result<Option<ServerTls>, CliFault> {
        self.tls.of(&self.server, b"h2")
    }
}

/// Opens a connection, for a channel.
async fn open(
    uri: Uri,
    tls: Option<ServerTls>,
    refusal: LastRefusal,
) -> Result<TokioIo<ClientStream>, Box<dyn Error + Send + Sync>> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    refusal.forget();
    let stream = tcp.oneshot(uri).await?.into_inner();
    Ok(TokioIo::new(ClientStream::open(stream, tls.as_ref(), refusal).await?))
}

impl Connection {
    /// Has all calls say why they are made, in the metadata `aka-reason`.
    pub fn give_reason(&mut self, reason: MetadataValue<Ascii>) {
        self.metadata.insert("aka-reason", reason);
    }

    /// Wraps a message with a deadline, which both the server and the channel keep.
    pub fn request<T>(&self, message: T) -> Request<T> {
        let (metadata, extensions) = (self.metadata.clone(), Extensions::default());
        let mut request = Request::from_parts(metadata, extensions, message);
        request.set_timeout(Duration::from_millis(self.timeout_ms));
        request
    }

    /// The answer, or the fault that its status means.
    pub fn answer<T>(&self, result: Result<Response<T>, Status>) -> Result<T, CliFault> {
        result.map(Response::into_inner).map_err(|status| {
            let server = self.server.to_string();
            match (CliFault::from_status(&status, &server, self.timeout_ms), self.refusal.get()) {
                (CliFault::Unreachable { .. }, Some(message)) => {
                    CliFault::Unreachable { server, message }
                }
                (fault, _) => fault,
            }
        })
    }
}
