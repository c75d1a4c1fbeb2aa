//! Every service that the port speaks.

use super::admin::AdminService;
use super::codec::MAX_MESSAGE;
use super::middleware::Middleware;
use super::pb;
use super::resolver::ResolverService;
use crate::admin::Admin;
use crate::ops::Metrics;
use crate::resolve::Resolver;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic_health::server::HealthReporter;

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
) -> Result<(Middleware<Routes>, HealthReporter), tonic_reflection::server::Error> {
    let Services { resolver, admin, metrics, request_limit: limit, stopping } = services;
    let resolver = ResolverService { resolver, limit, stopping };
    let admin = AdminService { admin, metrics: metrics.clone(), limit };
    let (reporter, health) = tonic_health::server::health_reporter();
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(pb::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let routes = Routes::new(health)
        .add_service(
            pb::resolver_server::ResolverServer::new(resolver)
                .max_decoding_message_size(MAX_MESSAGE),
        )
        .add_service(
            pb::alias_admin_server::AliasAdminServer::new(admin)
                .max_decoding_message_size(MAX_MESSAGE),
        )
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?)
        .prepare();
    Ok((Middleware::new(routes, &metrics), reporter))
}
