//! The dispatcher: counts each call, limits it, and gives it to its handler.

use super::counters::{CallCounters, CountedCall};
use super::limits::MethodLimits;
use super::lookups::{
    Messages, answer_at_once, answer_stream, resolve, resolve_batch, resolve_stream,
};
use super::tonic_services::{self, Incoming, TonicServices};
use crate::admin::Admin;
use crate::metrics::Metrics;
use crate::ops::Stage;
use crate::resolve::Resolver;
use aka_wire::Method;
use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Request, Response, StatusCode};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::Code;
use tonic::body::Body;

/// Answers all calls. One for the server; the connections share it.
pub struct Dispatcher {
    counters: CallCounters,
    resolver: Arc<Resolver>,
    tonic_services: TonicServices,
    request_limit: Duration,
}

impl Dispatcher {
    /// The dispatcher. `request_limit` is how long the server works on one request. The health
    /// service tells the stage.
    ///
    /// # Errors
    /// If the descriptors that are built in cannot be read.
    pub fn new(
        resolver: Arc<Resolver>,
        admin: Admin,
        metrics: Arc<Metrics>,
        request_limit: Duration,
        stage: watch::Receiver<Stage>,
    ) -> Result<Self, tonic_reflection::server::Error> {
        let counters = CallCounters::new(&metrics);
        let tonic_services = TonicServices::new(admin, metrics, stage)?;
        Ok(Self { counters, resolver, tonic_services, request_limit })
    }

    /// Answers a call. A lookup that memory can answer is answered when this returns. Every other
    /// call becomes a task on the current runtime. Streams end when `leaving` is cancelled, because
    /// their connection should end.
    pub fn take(
        &self,
        request: Request<RecvStream>,
        respond: SendResponse<Bytes>,
        leaving: &CancellationToken,
    ) {
        let method = Method::of_path(request.uri().path());
        let call = self.counters.begin(method);
        if !is_grpc(request.headers()) {
            return refuse(call, respond);
        }
        let Some(method) = method else { return self.take_other(call, request, respond, leaving) };
        let limits = MethodLimits::of(method);
        let deadline = limits.deadline(request.headers(), self.request_limit);
        match method {
            Method::Resolve => {
                let messages = Messages::new(request, limits.longest_message);
                let reply = resolve(self.resolver.clone(), messages, deadline);
                answer_at_once(call, respond, reply);
            }
            Method::BatchResolve => {
                let messages = Messages::new(request, limits.longest_message);
                let reply = resolve_batch(self.resolver.clone(), messages, deadline);
                answer_at_once(call, respond, reply);
            }
            Method::StreamResolve => {
                let requests =
                    Messages::new(request, limits.longest_message).until_stopped(leaving.clone());
                let resolver = self.resolver.clone();
                let replies =
                    resolve_stream(resolver, requests, self.request_limit, deadline.until);
                tokio::spawn(answer_stream(call, respond, replies));
            }
            Method::CreateAlias
            | Method::BatchCreateAliases
            | Method::GetAlias
            | Method::UpdateAlias
            | Method::DeleteAlias
            | Method::ListAliases => {
                let request = request.map(|body| Body::new(Incoming(body)));
                let response = self.tonic_services.admin(request, &limits, deadline.until);
                tokio::spawn(tonic_services::answer(call, respond, response));
            }
            Method::HealthCheck => self.take_other(call, request, respond, leaving),
        }
    }

    /// Gives a call to the service that its path names: health, reflection, or none.
    fn take_other(
        &self,
        call: CountedCall,
        request: Request<RecvStream>,
        respond: SendResponse<Bytes>,
        leaving: &CancellationToken,
    ) {
        let response = self.tonic_services.named(request.map(Incoming), leaving);
        tokio::spawn(tonic_services::answer(call, respond, response));
    }
}

/// Whether the content type is gRPC's own, alone or with the format of the messages.
fn is_grpc(headers: &HeaderMap) -> bool {
    let subtype = headers
        .get(CONTENT_TYPE)
        .and_then(|content_type| content_type.as_bytes().strip_prefix(b"application/grpc"));
    matches!(subtype, Some([] | [b'+' | b';', ..]))
}

fn refuse(mut call: CountedCall, mut respond: SendResponse<Bytes>) {
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    if respond.send_response(response, true).is_ok() {
        // gRPC clients take this HTTP status for `UNKNOWN`.
        call.code = Some(Code::Unknown);
    }
}
