//! The dispatcher: counts each call, limits it, and gives it to its handler.

use super::access::{Access, ReflectionAccess};
use super::activity::Activity;
use super::counters::{CallCounters, CountedCall};
use super::limits::MethodLimits;
use super::lookups::{
    Messages, StreamPriority, answer_at_once, answer_stream, resolve, resolve_batch, resolve_stream,
};
use super::memory::{ConnectionMemory, RequestMemory};
use super::status::{CallFault, outcome};
use super::tonic_services::{self, AdmittedCall, Incoming, TonicServices};
use crate::admin::Admin;
use crate::audit::{AuditTrail, AuditedCall};
use crate::auth::{ConnectionGate, Denied, Gate};
use crate::metrics::{Metrics, Scarce};
use crate::ops::Stage;
use crate::overload::{Arrivals, Priority, ThreadLoad};
use crate::resolve::{ReadTerms, Resolver};
use aka_core::clock::Boottime;
use aka_core::domain::random_u63;
use aka_core::write::Author;
use aka_wire::{ALIAS_ADMIN, Method};
use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Request, Response, StatusCode};
use metrics::Counter;
use std::net::SocketAddr;
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
    gate: Arc<Gate>,
    audit: AuditTrail,
}

/// Who may come in, and what is written down of it.
pub struct Doors {
    pub gate: Arc<Gate>,
    pub reflection: ReflectionAccess,
    pub audit: AuditTrail,
}

/// Who is at the other end of a connection.
pub struct ConnectionPeer {
    /// `None`: the connection ended at once.
    pub address: Option<SocketAddr>,
    /// The one URI that its verified certificate names.
    pub uri: Option<Arc<str>>,
}

/// The header in which a caller says why.
const REASON: &str = "aka-reason";
/// How much of it is kept, in bytes: as much as the change log has room for.
const LONGEST_REASON: usize = 256;

/// What a call needs to know of its connection.
pub struct CallContext {
    /// Cancelled when the connection should end.
    leaving: CancellationToken,
    /// That of the thread which serves the connection.
    load: Arc<ThreadLoad>,
    arrivals: Arrivals,
    memory: ConnectionMemory,
    activity: Arc<Activity>,
    gate: ConnectionGate,
    address: Option<SocketAddr>,
}

impl CallContext {
    /// What its client can make the server keep.
    pub fn memory(&self) -> &ConnectionMemory {
        &self.memory
    }
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
        doors: Doors,
    ) -> Result<Self, tonic_reflection::server::Error> {
        let counters = CallCounters::new(&metrics);
        let no_time = metrics.shed.of(Scarce::Time).clone();
        let Doors { gate, reflection, audit } = doors;
        let tonic_services = TonicServices::new(admin, metrics, stage, reflection)?;
        let memory = Arc::new(memory);
        Ok(Self { counters, resolver, no_time, tonic_services, request_limit, memory, gate, audit })
    }

    /// What the calls of a new connection need to know of it. `leaving` is cancelled when the
    /// connection should end; `activity` tells of its calls, `arrivals` when they arrived. To be
    /// asked on the thread that serves it.
    pub fn context(
        &self,
        leaving: CancellationToken,
        activity: Arc<Activity>,
        arrivals: Arrivals,
        peer: ConnectionPeer,
    ) -> CallContext {
        let ConnectionPeer { address, uri } = peer;
        let (memory, gate) = (self.memory.of_connection(), self.gate.of_connection(uri));
        let load = ThreadLoad::of_thread();
        CallContext { leaving, load, arrivals, memory, activity, gate, address }
    }

    /// Answers a call. A lookup that memory can answer is answered when this returns. Every other
    /// call becomes a task on the current runtime. Streams end when their connection should.
    pub fn take(
        &self,
        request: Request<RecvStream>,
        respond: SendResponse<Bytes>,
        context: &mut CallContext,
    ) {
        let method = Method::of_path(request.uri().path());
        let call = self.counters.begin(method, &context.activity);
        if !is_grpc(request.headers()) {
            return refuse_media_type(call, respond);
        }
        let Some(method) = method else { return self.take_other(call, request, respond, context) };
        let Access::Role(role) = Access::of(method) else {
            return self.take_other(call, request, respond, context);
        };
        // Nothing else is looked at before.
        let pass = match context.gate.admit(request.headers(), role) {
            Ok(pass) => pass,
            Err(Denied { why, who }) => {
                let (audited, _) = self.audited(method, request.headers(), context, who.as_deref());
                return refuse(call, respond, why.into(), &audited);
            }
        };
        let memory = &context.memory;
        let limits = MethodLimits::of(method);
        let arrived = context.arrivals.last();
        let until = limits.deadline(request.headers(), self.request_limit, arrived);
        let now = Boottime::now();
        if until <= now {
            // Nobody waits for the answer any more.
            self.no_time.increment(1);
            let (audited, _) = self.audited(method, request.headers(), context, pass.who());
            return refuse(call, respond, CallFault::DeadlineExceeded.into(), &audited);
        }
        let priority = || Priority::of(request.headers());
        let terms = ReadTerms { arrived: now, until, may_load: context.load.admits(priority) };
        match method {
            Method::Resolve => {
                let messages = Messages::new(request, limits.longest_message, memory);
                let reply = resolve(self.resolver.clone(), messages, pass, terms);
                answer_at_once(call, respond, reply, memory);
            }
            Method::BatchResolve => {
                let messages = Messages::new(request, limits.longest_message, memory);
                let reply = resolve_batch(self.resolver.clone(), messages, pass, terms);
                answer_at_once(call, respond, reply, memory);
            }
            Method::StreamResolve => {
                let priority = StreamPriority { load: context.load.clone(), priority: priority() };
                let requests = Messages::new(request, limits.longest_message, memory)
                    .until_stopped(context.leaving.clone());
                let (resolver, limit) = (self.resolver.clone(), self.request_limit);
                let replies = resolve_stream(resolver, requests, pass, limit, until, priority);
                tokio::spawn(answer_stream(call, respond, replies, memory.clone()));
            }
            Method::CreateAlias
            | Method::BatchCreateAliases
            | Method::GetAlias
            | Method::UpdateAlias
            | Method::DeleteAlias
            | Method::ListAliases => {
                let (audited, author) =
                    self.audited(method, request.headers(), context, pass.who());
                let admitted = AdmittedCall { pass, audited, author, until };
                self.take_admin(call, request, respond, context, (admitted, limits));
            }
            // Everybody may ask, so it did not come this far.
            Method::HealthCheck => self.take_other(call, request, respond, context),
        }
    }

    /// Gives a call to the admin service, unless it costs more than there is time for.
    fn take_admin(
        &self,
        call: CountedCall,
        request: Request<RecvStream>,
        respond: SendResponse<Bytes>,
        CallContext { load, memory, .. }: &CallContext,
        (admitted, limits): (AdmittedCall, MethodLimits),
    ) {
        if limits.is_dear && !load.admits(|| Priority::of(request.headers())) {
            self.no_time.increment(1);
            return refuse(call, respond, CallFault::Late.into(), &admitted.audited);
        }
        let Some(request) = Incoming::new(request, memory) else {
            return refuse(call, respond, CallFault::NoMemory.into(), &admitted.audited);
        };
        let response = self.tonic_services.admin(request.map(Body::new), &limits, admitted);
        tokio::spawn(tonic_services::answer(call, respond, response, memory.clone()));
    }

    /// Begins the line of a call, if it is one of the admin service: lookups have none. Returns also who
    /// makes the call.
    fn audited(
        &self,
        method: Method,
        headers: &HeaderMap,
        context: &CallContext,
        who: Option<&str>,
    ) -> (AuditedCall, Author) {
        let author = Author {
            operation: random_u63(),
            principal: who.map(Into::into),
            reason: headers.get(REASON).map(|reason| bounded(reason.as_bytes())),
        };
        match method.service() == ALIAS_ADMIN {
            true => (self.audit.begin(method.name(), context.address, &author), author),
            false => (AuditedCall::none(), author),
        }
    }

    /// Gives a call to the service that its path names: health, reflection, or none.
    fn take_other(
        &self,
        call: CountedCall,
        request: Request<RecvStream>,
        respond: SendResponse<Bytes>,
        context: &mut CallContext,
    ) {
        let none = AuditedCall::none();
        let pass = match self.tonic_services.access(request.uri().path()) {
            Access::Everybody => None,
            Access::Role(role) => match context.gate.admit(request.headers(), role) {
                Ok(pass) => Some(pass),
                Err(denied) => return refuse(call, respond, denied.why.into(), &none),
            },
        };
        let CallContext { leaving, memory, .. } = context;
        let Some(request) = Incoming::new(request, memory) else {
            return refuse(call, respond, CallFault::NoMemory.into(), &none);
        };
        let response = self.tonic_services.named(request, leaving, pass);
        tokio::spawn(tonic_services::answer(call, respond, response, memory.clone()));
    }
}

/// The words of a caller, but for what is too long.
fn bounded(words: &[u8]) -> Arc<str> {
    let words = String::from_utf8_lossy(words);
    words[..words.floor_char_boundary(LONGEST_REASON)].into()
}

/// Whether the content type is gRPC's own, alone or with the format of the messages.
fn is_grpc(headers: &HeaderMap) -> bool {
    let subtype = headers
        .get(CONTENT_TYPE)
        .and_then(|content_type| content_type.as_bytes().strip_prefix(b"application/grpc"));
    matches!(subtype, Some([] | [b'+' | b';', ..]))
}

/// Answers a call with a status alone.
fn refuse(
    mut call: CountedCall,
    mut respond: SendResponse<Bytes>,
    status: Status,
    audited: &AuditedCall,
) {
    audited.ends(|| outcome(&status));
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
