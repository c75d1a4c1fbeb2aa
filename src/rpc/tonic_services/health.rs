//! The health service of gRPC (`grpc.health.v1`).
//!
//! tonic's own refuses to watch a service that it does not know, and its watches never end. The
//! protocol wants `SERVICE_UNKNOWN` on a stream that stays open, and a stop must not wait for one.

use aka_wire::{ALIAS_ADMIN, RESOLVER};
use futures::Stream;
use futures::stream::unfold;
use std::pin::Pin;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::Health;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

/// The server as a whole, and each of its services. All are in the same state.
const KNOWN: [&str; 3] = ["", RESOLVER, ALIAS_ADMIN];

/// Serving until the server begins to stop.
pub(super) struct HealthState {
    pub stopping: CancellationToken,
}

impl HealthState {
    fn status(&self) -> ServingStatus {
        match self.stopping.is_cancelled() {
            true => ServingStatus::NotServing,
            false => ServingStatus::Serving,
        }
    }
}

/// What a watcher is told next.
enum News {
    /// The status at this moment.
    Now(ServingStatus),
    /// The status once the server stops.
    Stop(ServingStatus),
    /// The stream ends.
    End,
}

#[tonic::async_trait]
impl Health for HealthState {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        match is_known(&request) {
            true => Ok(Response::new(response(self.status()))),
            false => Err(Status::not_found("this server has no such service")),
        }
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let now = match is_known(&request) {
            true => self.status(),
            false => ServingStatus::ServiceUnknown,
        };
        let begin = (News::Now(now), self.stopping.clone());
        let news = unfold(begin, |(news, stopping)| async move {
            let status = match news {
                News::Now(status) => status,
                News::Stop(status) => {
                    stopping.cancelled().await;
                    // The server never learns of a service that it did not know.
                    (status == ServingStatus::Serving).then_some(ServingStatus::NotServing)?
                }
                News::End => return None,
            };
            let next = match status {
                ServingStatus::NotServing => News::End,
                status => News::Stop(status),
            };
            Some((Ok(response(status)), (next, stopping)))
        });
        Ok(Response::new(Box::pin(news)))
    }
}

fn is_known(request: &Request<HealthCheckRequest>) -> bool {
    KNOWN.contains(&request.get_ref().service.as_str())
}

fn response(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}
