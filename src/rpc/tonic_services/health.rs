//! The health service of gRPC (`grpc.health.v1`).
//!
//! tonic has a health service too. But it refuses to watch an unknown service, where the protocol
//! wants `SERVICE_UNKNOWN` on a stream that stays open. And its watches never end, while a server
//! that stops must not wait for them.

use crate::ops::Stage;
use aka_wire::{ALIAS_ADMIN, RESOLVER};
use futures::Stream;
use futures::stream::unfold;
use std::pin::Pin;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::Health;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

/// The server as a whole, and each of its services. All are in the same state.
const KNOWN: [&str; 3] = ["", RESOLVER, ALIAS_ADMIN];

/// The health of the server: it is serving while it is ready.
pub(super) struct HealthState {
    pub stage: watch::Receiver<Stage>,
}

/// Cancelled when the connection of a call should end, because the server stops or the connection
/// is old. It comes with each request.
#[derive(Clone, Default)]
pub(super) struct Leaving(pub CancellationToken);

fn status(stage: &Stage) -> ServingStatus {
    match stage {
        Stage::Ready => ServingStatus::Serving,
        Stage::Starting { .. } | Stage::Warming | Stage::Stopping => ServingStatus::NotServing,
    }
}

/// What a watch has sent, and what it waits for.
struct Watch {
    stage: watch::Receiver<Stage>,
    leaving: CancellationToken,
    /// The last status that was sent. `None`: nothing yet.
    sent: Option<ServingStatus>,
    known: bool,
}

impl Watch {
    /// The next status to send. `None`: the watch is over.
    async fn next(&mut self) -> Option<ServingStatus> {
        loop {
            let now = match self.known {
                true => status(&self.stage.borrow_and_update()),
                false => ServingStatus::ServiceUnknown,
            };
            if self.sent != Some(now) {
                self.sent = Some(now);
                return Some(now);
            }
            tokio::select! {
                // The last news is told before the end.
                biased;
                changed = self.stage.changed() => changed.ok()?,
                () = self.leaving.cancelled() => return None,
            }
        }
    }
}

#[tonic::async_trait]
impl Health for HealthState {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        match is_known(&request) {
            true => Ok(Response::new(response(status(&self.stage.borrow())))),
            false => Err(Status::not_found("this server has no such service")),
        }
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let Leaving(leaving) = request.extensions().get().cloned().unwrap_or_default();
        let stage = self.stage.clone();
        let watch = Watch { stage, leaving, sent: None, known: is_known(&request) };
        let news = unfold(watch, |mut watch| async move {
            let status = watch.next().await?;
            Some((Ok(response(status)), watch))
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
