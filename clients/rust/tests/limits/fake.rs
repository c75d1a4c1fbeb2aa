//! A server of the test: it answers at once, unless it is held or told what to say.

use aka_wire::pb::resolver_server::{Resolver, ResolverServer};
use aka_wire::pb::{
    BatchResolveRequest, BatchResolveResponse, ResolveRequest, ResolveResponse, Resolved,
};
use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use std::collections::VecDeque;
use std::net::{SocketAddr, TcpListener};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Instant;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tonic::{Request, Response, Status, Streaming};

/// A call that came.
#[derive(Clone, Debug)]
pub struct Call {
    pub ids: Vec<String>,
    pub token: String,
    pub authorization: Option<String>,
    pub traceparent: Option<String>,
    pub at: Instant,
}

/// What to say instead of the right answer.
pub type Reply = Result<BatchResolveResponse, Status>;

/// The state that a server and its test share.
pub struct State {
    pub calls: Mutex<Vec<Call>>,
    /// For the next calls, in order.
    pub replies: Mutex<VecDeque<Reply>>,
    /// For all calls without a reply of their own.
    pub always: Mutex<Option<Status>>,
    held: watch::Sender<bool>,
    under_way: Mutex<(usize, usize)>,
}

/// A server. Dropping it resets its connections, as a crash does.
pub struct Fake {
    pub address: SocketAddr,
    pub state: Arc<State>,
    runtime: Option<Runtime>,
    stop: watch::Sender<bool>,
}

struct Service(Arc<State>);

impl Fake {
    pub fn start() -> Self {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0)))
    }

    /// Starts at an address that may just have been left.
    pub fn start_at(address: SocketAddr) -> Self {
        let state = Arc::new(State {
            calls: Mutex::default(),
            replies: Mutex::default(),
            always: Mutex::default(),
            held: watch::Sender::new(false),
            under_way: Mutex::default(),
        });
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime can be made");
        // The standard library sets SO_REUSEADDR.
        let listener = TcpListener::bind(address).expect("the address is free");
        listener.set_nonblocking(true).expect("a mode can be set");
        let address = listener.local_addr().expect("it is bound");
        let (stop, stopped) = watch::channel(false);
        let service = ResolverServer::new(Service(state.clone()));
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
            serve(listener, service, stopped).await;
        });
        Self { address, state, runtime: Some(runtime), stop }
    }

    /// Holds all answers, or lets them go.
    pub fn hold(&self, held: bool) {
        self.state.held.send_replace(held);
    }

    pub fn calls(&self) -> Vec<Call> {
        self.state.calls.lock().expect("no panic").clone()
    }

    /// The most calls that were under way at a time.
    pub fn most_under_way(&self) -> usize {
        self.state.under_way.lock().expect("no panic").1
    }

    pub fn reply(&self, reply: Reply) {
        self.state.replies.lock().expect("no panic").push_back(reply);
    }

    pub fn always(&self, status: Option<Status>) {
        *self.state.always.lock().expect("no panic") = status;
    }

    /// Takes no more calls, and tells the clients so (GOAWAY).
    pub fn leave(&self) {
        self.stop.send_replace(true);
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Serves until it is told to leave. Its connections then end in order, and it listens no more.
async fn serve(
    listener: tokio::net::TcpListener,
    service: ResolverServer<Service>,
    stopped: watch::Receiver<bool>,
) {
    loop {
        let mut stop = stopped.clone();
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stopped| *stopped) => return,
        };
        let Ok((stream, _)) = accepted else { continue };
        let service = TowerToHyperService::new(service.clone());
        tokio::spawn(async move {
            let builder = http2::Builder::new(TokioExecutor::new());
            let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
            tokio::select! {
                _ = connection.as_mut() => return,
                _ = stop.wait_for(|stopped| *stopped) => {}
            }
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        });
    }
}

#[tonic::async_trait]
impl Resolver for Service {
    type StreamResolveStream = Streaming<BatchResolveResponse>;

    async fn resolve(
        &self,
        _: Request<ResolveRequest>,
    ) -> Result<Response<ResolveResponse>, Status> {
        Err(Status::unimplemented("the client sends batches"))
    }

    async fn stream_resolve(
        &self,
        _: Request<Streaming<BatchResolveRequest>>,
    ) -> Result<Response<Self::StreamResolveStream>, Status> {
        Err(Status::unimplemented("the client sends batches"))
    }

    async fn batch_resolve(
        &self,
        request: Request<BatchResolveRequest>,
    ) -> Result<Response<BatchResolveResponse>, Status> {
        let header = |name| Some(request.metadata().get(name)?.to_str().ok()?.to_owned());
        let (authorization, traceparent) = (header("authorization"), header("traceparent"));
        let message = request.into_inner();
        let text = |id: &bytes::Bytes| String::from_utf8(id.to_vec()).expect("UTF-8");
        let ids: Vec<String> = message.distinct_ids.iter().map(text).collect();
        let token = message.consistency_token;
        let call = Call { ids: ids.clone(), token, authorization, traceparent, at: Instant::now() };
        {
            let mut under_way = self.0.under_way.lock().expect("no panic");
            under_way.0 += 1;
            under_way.1 = under_way.1.max(under_way.0);
        }
        self.0.calls.lock().expect("no panic").push(call);
        let _ = self.0.held.subscribe().wait_for(|held| !held).await;
        self.0.under_way.lock().expect("no panic").0 -= 1;
        if let Some(reply) = self.0.replies.lock().expect("no panic").pop_front() {
            return reply.map(Response::new);
        }
        if let Some(status) = self.0.always.lock().expect("no panic").clone() {
            return Err(status);
        }
        Ok(Response::new(right_response(&ids)))
    }
}

/// Sparse, as the contract says.
fn right_response(ids: &[String]) -> BatchResolveResponse {
    let aliases = ids.iter().enumerate().filter(|(_, id)| id.starts_with('a'));
    let resolved = |(index, id): (usize, &String)| Resolved {
        index: index as u32,
        canonical_id: format!("canonical-{id}").into(),
    };
    BatchResolveResponse { aliases: aliases.map(resolved).collect(), ..Default::default() }
}
