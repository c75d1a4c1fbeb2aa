//! Reads certificates and keys again while the service runs.

use super::port::PortTls;
use crate::hooks;
use crate::metrics::{Metrics, ReloadResult, Reloads};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// How often the files are looked at. Their contents tell, so no link and no file system hides a
/// change.
const LOOK: Duration = Duration::from_secs(10);

/// The TLS of both ports. A port without TLS has none. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct TlsPorts {
    pub grpc: Option<Arc<PortTls>>,
    pub metrics: Option<Arc<PortTls>>,
    asked: Arc<Notify>,
}

impl TlsPorts {
    pub fn new(grpc: Option<PortTls>, metrics: Option<PortTls>) -> Self {
        let asked = Arc::default();
        Self { grpc: grpc.map(Arc::new), metrics: metrics.map(Arc::new), asked }
    }

    /// Has the files read again, also if they hold the same as before.
    pub fn read_again(&self) {
        self.asked.notify_one();
    }

    /// Looks at the files for ever. Returns at once if there are none.
    pub async fn follow_files(self, metrics: Arc<Metrics>) {
        let pause = hooks::shortened("AKA_TLS_LOOK_MS", LOOK);
        let ports = [self.grpc, self.metrics].into_iter().flatten();
        let ports: Vec<Arc<PortTls>> = ports.collect();
        while !ports.is_empty() {
            for port in &ports {
                let expires = port.current().expires.as_secs_f64();
                metrics.tls_certificate_expiry.of(port.part).set(expires);
            }
            let asked = tokio::select! {
                () = self.asked.notified() => true,
                () = tokio::time::sleep(pause) => false,
            };
            for port in &ports {
                look(port, asked, &metrics).await;
            }
        }
    }
}

/// Looks at the files of one port. If they cannot be used, what was read before stays.
async fn look(port: &Arc<PortTls>, asked: bool, metrics: &Metrics) {
    let looked_at = port.clone();
    // A file may be on a slow disk.
    let looked = tokio::task::spawn_blocking(move || looked_at.look(asked)).await;
    let what = Reloads::label(port.part);
    let result = match looked {
        Ok(None) => return,
        Ok(Some(Ok(()))) => {
            tracing::info!(what, "certificates were read, and are used from now on");
            ReloadResult::Ok
        }
        Ok(Some(Err(error))) => {
            tracing::warn!(what, %error, "certificates cannot be used: the old ones stay");
            ReloadResult::Failed
        }
        Err(error) => {
            tracing::warn!(what, %error, "certificates cannot be read: the old ones stay");
            ReloadResult::Failed
        }
    };
    metrics.reloads.of(port.part).of(result).increment(1);
}
