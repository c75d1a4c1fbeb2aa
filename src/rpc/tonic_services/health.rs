//! The health service of gRPC (`grpc.health.v1`).
//!
//! tonic has a health service too. But it refuses to watch an unknown service, where the protocol
//! wants `SERVICE_UNKNOWN` on a stream that stays open. And its watches never end, while a server
//! that stops must not wait for them.

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

/// The health of the server: it is serving until it begins to stop.
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

/// The next step of a watch.
enum News {
    /// Send this status at once.
    Now(ServingStatus),
    /// Wait until the server stops. This status was sent last.
    Stop(ServingStatus),
    /// End the stream.
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
                    // A service that was unknown stays unknown, so there is nothing to send.
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
