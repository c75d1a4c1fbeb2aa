//! The services of tonic, and which of them a call belongs to.

use super::admin::AdminCall;
use crate::admin::Admin;
use crate::metrics::Metrics;
use crate::rpc::limits::MethodLimits;
use aka_core::clock::Boottime;
use aka_wire::Method;
use aka_wire::pb;
use aka_wire::pb::alias_admin_server::AliasAdminServer;
use http::{Request, Response};
use std::convert::Infallible;
use std::future::ready;
use std::pin::Pin;
use std::sync::Arc;
use tonic::Status;
use tonic::body::Body;
use tonic::codec::CompressionEncoding::Gzip;
use tonic::server::NamedService;
use tonic_health::server::HealthReporter;
use tower::util::BoxCloneSyncService;
use tower_service::Service;

/// The services that tonic answers. So few names do not need a router for arbitrary paths, such as
/// axum's.
pub struct TonicServices {
    admin: Admin,
    metrics: Arc<Metrics>,
    /// Health and reflection, by the names of the services.
    named: [(&'static str, BoxedService); 3],
}

type BoxedService = BoxCloneSyncService<Request<Body>, Response<Body>, Infallible>;

/// A response under way.
pub type PendingResponse = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

impl TonicServices {
    /// The services, and the handle that sets the answers of the health service.
    ///
    /// # Errors
    /// If the descriptors that are built in cannot be read.
    pub fn new(
        admin: Admin,
        metrics: Arc<Metrics>,
    ) -> Result<(Self, HealthReporter), tonic_reflection::server::Error> {
        let (reporter, health) = tonic_health::server::health_reporter();
        let longest = MethodLimits::of(Method::HealthCheck).longest_message;
        let reflection = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(pb::DESCRIPTORS)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
                // The details of errors, so that tools can show them.
                .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
        };
        let named = [
            named(health.max_decoding_message_size(longest).accept_compressed(Gzip)),
            named(reflection().build_v1()?.accept_compressed(Gzip)),
            named(reflection().build_v1alpha()?.accept_compressed(Gzip)),
        ];
        Ok((Self { admin, metrics, named }, reporter))
    }

    /// Gives a call to `AliasAdmin`, with its deadline.
    pub fn admin(
        &self,
        request: Request<Body>,
        limits: &MethodLimits,
        until: Boottime,
    ) -> PendingResponse {
        let (admin, metrics) = (self.admin.clone(), self.metrics.clone());
        AliasAdminServer::new(AdminCall { admin, metrics, until })
            .max_decoding_message_size(limits.longest_message)
            .accept_compressed(Gzip)
            .call(request)
    }

    /// Gives a call to the service that its path names, or answers `UNIMPLEMENTED`.
    pub fn named(&self, request: Request<Body>) -> PendingResponse {
        let path = request.uri().path();
        let service = path.strip_prefix('/').and_then(|path| path.split_once('/'));
        let name = service.map_or("", |(service, _method)| service);
        match self.named.iter().find(|(known, _)| *known == name) {
            // These services are always ready. A clone shares all state.
            Some((_, service)) => service.clone().call(request),
            None => Box::pin(ready(Ok(Status::unimplemented("").into_http()))),
        }
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
