//! Every service that the port speaks.

use super::ALIAS_ADMIN;
use super::admin::AdminService;
use super::dispatcher::Dispatcher;
use super::resolver::ResolverService;
use crate::admin::Admin;
use crate::metrics::Metrics;
use crate::resolve::Resolver;
use aka_wire::MAX_MESSAGE;
use aka_wire::pb;
use aka_wire::pb::alias_admin_server::AliasAdminServer;
use http::{Request, Response};
use std::convert::Infallible;
use std::future::ready;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic_health::server::HealthReporter;
use tower::util::BoxCloneSyncService;
use tower_service::Service;

/// What the RPCs are answered from.
pub struct Services {
    pub resolver: Arc<Resolver>,
    pub admin: Admin,
    pub metrics: Arc<Metrics>,
    /// How long the server works on one request.
    pub request_limit: Duration,
    /// Cancelled when the server begins to stop.
    pub stopping: CancellationToken,
}

/// Puts the services together: the contract's two, health, and reflection.
///
/// # Errors
/// If the descriptors that were built in cannot be read.
pub fn routes(
    services: Services,
) -> Result<(Dispatcher, HealthReporter), tonic_reflection::server::Error> {
    let Services { resolver, admin, metrics, request_limit: limit, stopping } = services;
    let resolver = ResolverService { resolver, limit, stopping };
    let admin = AdminService { admin, metrics: metrics.clone(), limit };
    let (reporter, health) = tonic_health::server::health_reporter();
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(pb::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let routes = Routes {
        admin: AliasAdminServer::new(admin).max_decoding_message_size(MAX_MESSAGE),
        others: Arc::new([
            named(health),
            named(reflection().build_v1()?),
            named(reflection().build_v1alpha()?),
        ]),
    };
    Ok((Dispatcher::new(Arc::new(resolver), routes, &metrics), reporter))
}

/// Sends each call that tonic answers to its service, by the service's name in the path. A router for any
/// path, such as axum's, is more than five names need.
pub struct Routes {
    admin: AliasAdminServer<AdminService>,
    others: Arc<[(&'static str, Other); 3]>,
}

type Other = BoxCloneSyncService<Request<Body>, Response<Body>, Infallible>;

fn named<S>(service: S) -> (&'static str, Other)
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S: NamedService + Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
{
    (S::NAME, BoxCloneSyncService::new(service))
}

/// A response that is to come.
pub type Responding = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

impl Routes {
    pub(super) fn call(&self, request: Request<Body>) -> Responding {
        let path = request.uri().path();
        let service = path.strip_prefix('/').and_then(|path| path.split_once('/'));
        match service.map_or("", |(service, _method)| service) {
            // A service is ready always, and a clone of it shares everything.
            ALIAS_ADMIN => self.admin.clone().call(request),
            name => match self.others.iter().find(|(other, _)| *other == name) {
                Some((_, service)) => service.clone().call(request),
                None => Box::pin(ready(Ok(Status::unimplemented("").into_http()))),
            },
        }
    }
}
