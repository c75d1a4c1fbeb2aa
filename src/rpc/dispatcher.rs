//! The dispatcher: counts each call, limits it, and gives it to its handler.

use super::activity::Activity;
use super::counters::{CallCounters, CountedCall};
use super::limits::MethodLimits;
use super::lookups::{
    Messages, StreamPriority, answer_at_once, answer_stream, resolve, resolve_batch, resolve_stream,
};
use super::memory::{ConnectionMemory, RequestMemory};
use super::status::CallFault;
use super::tonic_services::{self, Incoming, TonicServices};
use crate::admin::Admin;
use crate::metrics::{Metrics, Scarce};
use crate::ops::Stage;
use crate::overload::{Arrivals, Priority, ThreadLoad};
use crate::resolve::{ReadTerms, Resolver};
use aka_core::clock::Boottime;
use aka_wire::Method;
use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Request, Response, StatusCode};
use metrics::Counter;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::{Code, Status};

/// Answers all calls. One for the server; the connections share it.
pub struct Dispatcher {
    counters: CallCounters,
    resolver: Arc<Resolver>,
    /// Counts calls that no time was left for.
    no_time: Counter,
    tonic_services: TonicServices,
    request_limit: Duration,
    memory: Arc<RequestMemory>,
}

/// What a call needs to know of its connection.
pub struct CallContext {
    /// Cancelled when the connection should end.
    leaving: CancellationToken,
    /// That of the thread which serves the connection.
    load: Arc<ThreadLoad>,
    arrivals: Arrivals,
    memory: ConnectionMemory,
    activity: Arc<Activity>,
}

impl Dispatcher {
    /// The dispatcher. `request_limit` is how long the server works on one request. `memory` is what
    /// clients can make the server keep. The health service tells the stage.
    ///
    /// # Errors
    /// If the descriptors that are built in cannot be read.
    pub fn new(
        resolver: Arc<Resolver>,
        admin: Admin,
        metrics: Arc<Metrics>,
        request_limit: Duration,
        memory: RequestMemory,
        stage: watch::Receiver<Stage>,
    ) -> Result<Self, tonic_reflection::server::Error> {
        let counters = CallCounters::new(&metrics);
        let no_time = metrics.shed.of(Scarce::Time).clone();
        let tonic_services = TonicServices::new(admin, metrics, stage)?;
        let memory = Arc::new(memory);
        Ok(Self { counters, resolver, no_time, tonic_services, request_limit, memory })
    }

    /// What the calls of a new connection need to know of it. `leaving` is cancelled when the
    /// connection should end; `activity` tells of its calls, `arrivals` when they arrived. To be
    /// asked on the thread that serves it.
    pub fn context(
        &self,
        leaving: CancellationToken,
        activity: Arc<Activity>,
        arrivals: Arrivals,
    ) -> CallContext {
        let (memory, load) = (self.memory.of_connection(), ThreadLoad::of_thread());
        CallContext { leaving, load, arrivals, memory, activity }
    }

    /// Answers a call. A lookup that memory can answer is answered when this returns. Every other
    /// call becomes a task on the current runtime. Streams end when their connection should.
    pub fn take(
        &self,
        request: Request<RecvStream>,
        respond: SendResponse<Bytes>,
        context: &CallContext,
    ) {
        let method = Method::of_path(request.uri().path());
        let call = self.counters.begin(method, &context.activity);
        if !is_grpc(request.headers()) {
            return refuse_media_type(call, respond);
        }
        let memory = &context.memory;
        let Some(method) = method else { return self.take_other(call, request, respond, context) };
        let limits = MethodLimits::of(method);
        let arrived = context.arrivals.last();
        let until = limits.deadline(request.headers(), self.request_limit, arrived);
        let now = Boottime::now();
        if until <= now {
            // Nobody waits for the answer any more.
            self.no_time.increment(1);
            return refuse(call, respond, CallFault::DeadlineExceeded);
        }
        let priority = || Priority::of(request.headers());
        let terms = || ReadTerms { arrived: now, until, may_load: context.load.admits(priority) };
        match method {
            Method::Resolve => {
                let terms = terms();
                let messages = Messages::new(request, limits.longest_message, memory);
                let reply = resolve(self.resolver.clone(), messages, terms);
                answer_at_once(call, respond, reply, memory);
            }
            Method::BatchResolve => {
                let terms = terms();
                let messages = Messages::new(request, limits.longest_message, memory);
                let reply = resolve_batch(self.resolver.clone(), messages, terms);
                answer_at_once(call, respond, reply, memory);
            }
            Method::StreamResolve => {
                let priority = StreamPriority { load: context.load.clone(), priority: priority() };
                let requests = Messages::new(request, limits.longest_message, memory)
                    .until_stopped(context.leaving.clone());
                let (resolver, limit) = (self.resolver.clone(), self.request_limit);
                let replies = resolve_stream(resolver, requests, limit, until, priority);
                tokio::spawn(answer_stream(call, respond, replies, memory.clone()));
            }
            Method::CreateAlias
            | Method::BatchCreateAliases
            | Method::GetAlias
            | Method::UpdateAlias
            | Method::DeleteAlias
            | Method::ListAliases => {
                if limits.is_dear && !context.load.admits(priority) {
                    self.no_time.increment(1);
                    return refuse(call, respond, CallFault::Late);
                }
                let Some(request) = Incoming::new(request, memory) else {
                    return refuse(call, respond, CallFault::NoMemory);
                };
                let request = request.map(Body::new);
                let response = self.tonic_services.admin(request, &limits, until);
                tokio::spawn(tonic_services::answer(call, respond, response, memory.clone()));
            }
            Method::HealthCheck => self.take_other(call, request, respond, context),
        }
    }

    /// Gives a call to the service that its path names: health, reflection, or none.
    fn take_other(
        &self,
        call: CountedCall,
        request: Request<RecvStream>,
        respond: SendResponse<Bytes>,
        context: &CallContext,
    ) {
        let CallContext { leaving, memory, .. } = context;
        let Some(request) = Incoming::new(request, memory) else {
            return refuse(call, respond, CallFault::NoMemory);
        };
        let response = self.tonic_services.named(request, leaving);
        tokio::spawn(tonic_services::answer(call, respond, response, memory.clone()));
    }
}

/// Whether the content type is gRPC's own, alone or with the format of the messages.
fn is_grpc(headers: &HeaderMap) -> bool {
    let subtype = headers
        .get(CONTENT_TYPE)
        .and_then(|content_type| content_type.as_bytes().strip_prefix(b"application/grpc"));
    matches!(subtype, Some([] | [b'+' | b';', ..]))
}

/// Answers a call with a fault alone.
fn refuse(mut call: CountedCall, mut respond: SendResponse<Bytes>, fault: CallFault) {
    let status = Status::from(fault);
    let code = status.code();
    if respond.send_response(status.into_http(), true).is_ok() {
        call.code = Some(code);
    }
}

fn refuse_media_type(mut call: CountedCall, mut respond: SendResponse<Bytes>) {
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    if respond.send_response(response, true).is_ok() {
        // gRPC clients take this HTTP status for `UNKNOWN`.
        call.code = Some(Code::Unknown);
    }
}
