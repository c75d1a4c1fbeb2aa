//! Around every RPC: counting it, and giving errors that tonic made the contract's form.

use super::routes::{Responding, Routes};
use super::status::contract;
use super::{ALIAS_ADMIN, RESOLVER};
use crate::ops::{Metrics, RpcMetrics};
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use hyper::service::Service;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;
use tonic::body::Body;
use tonic::{Code, Status};

const METHODS: [(&str, &str, &str); 10] = [
    (RESOLVER, "Resolve", "unary"),
    (RESOLVER, "BatchResolve", "unary"),
    (RESOLVER, "StreamResolve", "bidi_stream"),
    (ALIAS_ADMIN, "CreateAlias", "unary"),
    (ALIAS_ADMIN, "BatchCreateAliases", "unary"),
    (ALIAS_ADMIN, "GetAlias", "unary"),
    (ALIAS_ADMIN, "UpdateAlias", "unary"),
    (ALIAS_ADMIN, "DeleteAlias", "unary"),
    (ALIAS_ADMIN, "ListAliases", "unary"),
    ("grpc.health.v1.Health", "Check", "unary"),
];

/// The whole port, as hyper calls it.
#[derive(Clone)]
pub struct Middleware {
    routes: Arc<Routes>,
    methods: Arc<[(String, Arc<RpcMetrics>)]>,
    /// Calls of all other methods, so that no caller can make a series.
    others: Arc<RpcMetrics>,
}

impl Middleware {
    pub fn new(routes: Routes, metrics: &Metrics) -> Self {
        let method = |(service, method, kind)| {
            (format!("/{service}/{method}"), Arc::new(metrics.rpc(service, method, kind)))
        };
        let methods = METHODS.into_iter().map(method).collect();
        let others = Arc::new(metrics.rpc("other", "other", "other"));
        Self { routes: Arc::new(routes), methods, others }
    }

    /// The busiest methods stand first: a look at each is cheaper than a hash.
    fn metrics(&self, path: &str) -> &Arc<RpcMetrics> {
        let known = self.methods.iter().find(|(known, _)| *known == path);
        known.map_or(&self.others, |(_, metrics)| metrics)
    }
}

impl Service<Request<Incoming>> for Middleware {
    type Response = Response<Counted>;
    type Error = Infallible;
    type Future = CountedCall;

    fn call(&self, request: Request<Incoming>) -> CountedCall {
        let metrics = self.metrics(request.uri().path()).clone();
        metrics.started.increment(1);
        let call = Call { metrics, began: Instant::now(), code: None };
        CountedCall { response: self.routes.call(request.map(Body::new)), call: Some(call) }
    }
}

/// A call whose response has not begun.
pub struct CountedCall {
    response: Responding,
    call: Option<Call>,
}

impl Future for CountedCall {
    type Output = Result<Response<Counted>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let response = in_contract(ready!(self.response.as_mut().poll(context))?);
        let mut call = self.call.take();
        if let Some(call) = &mut call {
            call.see(response.headers());
        }
        Poll::Ready(Ok(response.map(|body| Counted { body, call })))
    }
}

/// A response that is an error as a whole has its status in the headers.
fn in_contract(response: Response<Body>) -> Response<Body> {
    if !response.headers().contains_key(Status::GRPC_STATUS) {
        return match response.status().is_success() {
            true => response,
            // Not gRPC at all: a wrong method or content type.
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

/// One call, counted once, when it ends.
struct Call {
    metrics: Arc<RpcMetrics>,
    began: Instant,
    code: Option<Code>,
}

impl Call {
    fn see(&mut self, headers: &HeaderMap) {
        if let Some(status) = headers.get(Status::GRPC_STATUS) {
            self.code = Some(Code::from_bytes(status.as_bytes()));
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        // Whoever went before the answer was whole has cancelled the call.
        self.metrics.handled(self.code.unwrap_or(Code::Cancelled));
        self.metrics.seconds.record(self.began.elapsed().as_secs_f64());
    }
}

/// A response body that tells when, and how, the call ended.
pub struct Counted {
    body: Body,
    call: Option<Call>,
}

impl http_body::Body for Counted {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        let trailers = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.trailers_ref());
        if let (Some(trailers), Some(call)) = (trailers, &mut self.call) {
            call.see(trailers);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
