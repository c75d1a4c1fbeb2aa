//! The echo: a bare tonic server with the contract of aka and nothing behind it. It shows the cost of
//! gRPC alone.
//!
//! `cargo bench --bench compare -- echo SHAPE [EVERY [CERT KEY]]`. It says where it serves, as `aka serve`
//! does, and goes on until it is killed. SHAPE is how its threads are made:
//!
//! - `shared`: one runtime with as many threads as there are processors, as tonic's documentation
//!   has it;
//! - `split`: a runtime of one thread for each processor, and a listener for each on the same port
//!   (SO_REUSEPORT), so that a connection never leaves its thread.
//!
//! `Resolve` answers the id itself. In a batch every second id (every EVERYth) is answered as an
//! alias, of an id that is as long as those of `aka bench`.

use aka_wire::pb::resolver_server::{Resolver, ResolverServer};
use aka_wire::pb::{
    BatchResolveRequest, BatchResolveResponse, ResolveRequest, ResolveResponse, Resolved,
};
use bytes::Bytes;
use futures::stream::{BoxStream, StreamExt};
use rustix::net::{AddressFamily, SocketType, bind, listen, socket, sockopt};
use std::error::Error;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::thread;
use tokio::net::TcpListener as AsyncListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::{Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status, Streaming};

/// The backlog of `listen`, as `aka` has it from the standard library.
const BACKLOG: i32 = 1_024;

/// The window of a stream holds a whole batch, and that of a connection several, as in `aka`.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;

pub type Fault = Box<dyn Error + Send + Sync>;

#[derive(Clone, Copy)]
struct Echo {
    every: usize,
}

#[tonic::async_trait]
impl Resolver for Echo {
    async fn resolve(
        &self,
        request: Request<ResolveRequest>,
    ) -> Result<Response<ResolveResponse>, Status> {
        let canonical_id = request.into_inner().distinct_id;
        Ok(Response::new(ResolveResponse { canonical_id, is_alias: false, degraded: false }))
    }

    async fn batch_resolve(
        &self,
        request: Request<BatchResolveRequest>,
    ) -> Result<Response<BatchResolveResponse>, Status> {
        Ok(Response::new(self.answer(&request.into_inner())))
    }

    type StreamResolveStream = BoxStream<'static, Result<BatchResolveResponse, Status>>;

    async fn stream_resolve(
        &self,
        request: Request<Streaming<BatchResolveRequest>>,
    ) -> Result<Response<Self::StreamResolveStream>, Status> {
        let echo = *self;
        let answers = request.into_inner().map(move |request| Ok(echo.answer(&request?)));
        Ok(Response::new(answers.boxed()))
    }
}

impl Echo {
    fn answer(self, request: &BatchResolveRequest) -> BatchResolveResponse {
        let canonical_id = Bytes::from_static(b"user-0123456789abcdef");
        let indexes = (0..request.distinct_ids.len() as u32).step_by(self.every);
        let alias = |index| Resolved { index, canonical_id: canonical_id.clone() };
        BatchResolveResponse { aliases: indexes.map(alias).collect(), ..Default::default() }
    }
}

/// The certificate and the key in these files.
pub fn identity(cert: &str, key: &str) -> Result<ServerTlsConfig, Fault> {
    let identity = Identity::from_pem(std::fs::read(cert)?, std::fs::read(key)?);
    Ok(ServerTlsConfig::new().identity(identity))
}

/// Serves until it is killed.
pub fn serve_forever(shape: &str, every: usize, tls: Option<ServerTlsConfig>) -> Result<(), Fault> {
    let echo = Echo { every: every.max(1) };
    let threads = match shape {
        "shared" => 1,
        "split" => thread::available_parallelism()?.get(),
        _ => return Err("the shape is shared or split".into()),
    };
    // The first chooses the port.
    let first = listener(0)?;
    let address = first.local_addr()?;
    let mut listeners = vec![first];
    for _ in 1..threads {
        listeners.push(listener(address.port())?);
    }
    writeln!(std::io::stdout(), "echo: serving on {address}")?;
    thread::scope(|scope| {
        let runs = listeners.into_iter().map(|listener| {
            let mut builder = match threads {
                1 => tokio::runtime::Builder::new_multi_thread(),
                _ => tokio::runtime::Builder::new_current_thread(),
            };
            let tls = tls.clone();
            scope.spawn(move || builder.enable_all().build()?.block_on(serve(listener, echo, tls)))
        });
        // All started before the first is waited for.
        let runs: Vec<_> = runs.collect();
        for run in runs {
            run.join().map_err(|_| "a thread panicked")??;
        }
        Ok(())
    })
}

/// A loopback listener whose port others may share.
fn listener(port: u16) -> Result<TcpListener, Fault> {
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None)?;
    sockopt::set_socket_reuseport(&socket, true)?;
    bind(&socket, &SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
    listen(&socket, BACKLOG)?;
    let listener = TcpListener::from(socket);
    listener.set_nonblocking(true)?;
    Ok(listener)
}

async fn serve(
    listener: TcpListener,
    echo: Echo,
    tls: Option<ServerTlsConfig>,
) -> Result<(), Fault> {
    let incoming = TcpListenerStream::new(AsyncListener::from_std(listener)?).map(|stream| {
        let stream = stream?;
        stream.set_nodelay(true)?;
        Ok::<_, std::io::Error>(stream)
    });
    let mut server = Server::builder();
    if let Some(tls) = tls {
        server = server.tls_config(tls)?;
    }
    server
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .serve_with_incoming(ResolverServer::new(echo), incoming)
        .await?;
    Ok(())
}
