//! The services of tonic: which of them a call belongs to, and how their responses are sent.

use super::admin::{AdminCall, AdmittedCall};
use super::health::{HealthState, Leaving};
use super::incoming::{Incoming, UntilStopped};
use crate::admin::Admin;
use crate::auth::{Pass, PrincipalRole};
use crate::metrics::Metrics;
use crate::ops::Stage;
use crate::rpc::access::{Access, ReflectionAccess};
use crate::rpc::counters::CountedCall;
use crate::rpc::limits::MethodLimits;
use crate::rpc::memory::ConnectionMemory;
use crate::rpc::response::{self, unless_gone};
use crate::rpc::status::{CallFault, contract, outcome};
use aka_core::clock::Boottime;
use aka_wire::pb::alias_admin_server::AliasAdminServer;
use aka_wire::{Method, code_name, pb};
use bytes::Bytes;
use h2::server::SendResponse;
use http::{HeaderMap, Request, Response};
use http_body::{Body as _, Frame};
use http_body_util::BodyExt;
use std::convert::Infallible;
use std::future::ready;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::codec::CompressionEncoding::Gzip;
use tonic::server::NamedService;
use tonic::{Code, Status};
use tonic_health::pb::health_server::HealthServer;
use tower::util::BoxCloneSyncService;
use tower_service::Service;

/// So long after its deadline a call is ended that still waits for its message.
const READING_ENDS_LATER: Duration = Duration::from_millis(100);

/// How long the one message of a call to the health service may take.
const MESSAGE_TIME: Duration = Duration::from_secs(10);
/// How long a client may take for all that it asks reflection on one stream. Tools ask at once.
const REFLECTION_TIME: Duration = Duration::from_secs(60);

/// The services that tonic answers. So few names do not need a router for arbitrary paths, such as
/// axum's.
pub struct TonicServices {
    admin: Admin,
    metrics: Arc<Metrics>,
    /// Health and reflection, by the names of the services.
    named: Vec<(&'static str, BoxedService)>,
    reflection: ReflectionAccess,
}

/// How the names of the services of reflection begin, in each of its versions.
const REFLECTION: &str = "grpc.reflection.";

/// The service that a path names.
fn service_of(path: &str) -> &str {
    let service = path.strip_prefix('/').and_then(|path| path.split_once('/'));
    service.map_or("", |(service, _method)| service)
}

type BoxedService = BoxCloneSyncService<Request<Body>, Response<Body>, Infallible>;

/// A response under way.
pub type PendingResponse = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

impl TonicServices {
    /// The services. The health service tells the stage.
    ///
    /// # Errors
    /// If the descriptors that are built in cannot be read.
    pub fn new(
        admin: Admin,
        metrics: Arc<Metrics>,
        stage: watch::Receiver<Stage>,
        reflection: ReflectionAccess,
    ) -> Result<Self, tonic_reflection::server::Error> {
        let health = HealthServer::new(HealthState { stage });
        let longest = MethodLimits::of(Method::HealthCheck).longest_message;
        let descriptors = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(pb::DESCRIPTORS)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
                // The details of errors, so that tools can show them.
                .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
        };
        let health = health.max_decoding_message_size(longest).accept_compressed(Gzip);
        let mut services = vec![named(health)];
        if reflection != ReflectionAccess::Off {
            services.push(named(descriptors().build_v1()?.accept_compressed(Gzip)));
            services.push(named(descriptors().build_v1alpha()?.accept_compressed(Gzip)));
        }
        Ok(Self { admin, metrics, named: services, reflection })
    }

    /// Who may call a path that is no [`Method`] of ours. What there is not tells nobody anything.
    pub fn access(&self, path: &str) -> Access {
        match self.reflection {
            ReflectionAccess::Admin if service_of(path).starts_with(REFLECTION) => {
                Access::Role(PrincipalRole::Admin)
            }
            _ => Access::Everybody,
        }
    }

    /// Gives a call to `AliasAdmin`, with its deadline. How it ends is audited before the client is
    /// told.
    pub fn admin(
        &self,
        request: Request<Body>,
        limits: &MethodLimits,
        admitted: AdmittedCall,
    ) -> PendingResponse {
        let (admin, metrics) = (self.admin.clone(), self.metrics.clone());
        let (until, audited) = (admitted.until, admitted.audited.clone());
        let mut service = AliasAdminServer::new(AdminCall { admin, metrics, admitted })
            .max_decoding_message_size(limits.longest_message)
            .accept_compressed(Gzip);
        // The call itself answers by the deadline, once it has its message.
        let left = until.since(Boottime::now()) + READING_ENDS_LATER;
        Box::pin(async move {
            let answered = tokio::time::timeout(left, service.call(request)).await;
            let response = answered
                .unwrap_or_else(|_| Ok(Status::from(CallFault::DeadlineExceeded).into_http()))
                .map(in_contract)?;
            audited.ends(|| match Status::from_header_map(response.headers()) {
                Some(status) => outcome(&status),
                // The status of an answer comes after it.
                None => (code_name(Code::Ok), None),
            });
            Ok(response)
        })
    }

    /// Gives a call to the service that its path names, or answers `UNIMPLEMENTED`. `leaving`: of
    /// its connection. `pass`: with each message it is checked that it still holds.
    pub fn named(
        &self,
        request: Request<Incoming>,
        leaving: &CancellationToken,
        pass: Option<Pass>,
    ) -> PendingResponse {
        let name = service_of(request.uri().path());
        match self.named.iter().find(|(known, _)| *known == name) {
            // These services are always ready. A clone shares all state.
            Some((name, service)) => {
                let mut request = body(name, request, leaving, pass);
                request.extensions_mut().insert(Leaving(leaving.clone()));
                service.clone().call(request)
            }
            None => Box::pin(ready(Ok(Status::unimplemented("").into_http()))),
        }
    }
}

/// A stream to reflection ends when its connection should. The health service has answered its one
/// message, or waits for a message that is on its way.
fn body(
    name: &str,
    request: Request<Incoming>,
    leaving: &CancellationToken,
    pass: Option<Pass>,
) -> Request<Body> {
    match name == HealthServer::<HealthState>::NAME {
        true => request.map(|body| Body::new(body.within(MESSAGE_TIME))),
        false => request.map(|body| {
            let body = body.within(REFLECTION_TIME);
            Body::new(UntilStopped::new(body, leaving.clone(), pass))
        }),
    }
}

fn named<S>(service: S) -> (&'static str, BoxedService)
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S: NamedService + Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
{
    (S::NAME, BoxCloneSyncService::new(service))
}

/// Sends tonic's response to the client, as fast as it reads. What it has not read is held in
/// `memory`.
///
/// # Errors
/// If the client has left.
pub async fn answer(
    mut call: CountedCall,
    mut respond: SendResponse<Bytes>,
    response: PendingResponse,
    memory: ConnectionMemory,
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
            Ok(Ok(data)) => {
                if let Err(status) = response::send(&mut stream, data, &memory).await? {
                    response::end(&mut stream, Some(&status))?;
                    call.code = Some(status.code());
                    return Ok(());
                }
            }
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
fn in_contract(response: Response<Body>) -> Response<Body> {
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
