//! TLS of both ports, and how its files are read again.

use super::port::PortTls;
use crate::metrics::{Metrics, ReloadedPart};
use crate::reload::ReloadedFiles;
use std::sync::Arc;

/// The TLS of both ports. A port without TLS has none. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct TlsPorts {
    pub grpc: Option<Arc<PortTls>>,
    pub metrics: Option<Arc<PortTls>>,
}

impl TlsPorts {
    pub fn new(grpc: Option<PortTls>, metrics: Option<PortTls>) -> Self {
        Self { grpc: grpc.map(Arc::new), metrics: metrics.map(Arc::new) }
    }

    /// The files of both.
    pub fn files(&self) -> impl Iterator<Item = Arc<dyn ReloadedFiles>> {
        let ports = [&self.grpc, &self.metrics].into_iter().flatten();
        ports.map(|port| port.clone() as Arc<dyn ReloadedFiles>)
    }
}

impl ReloadedFiles for PortTls {
    fn part(&self) -> ReloadedPart {
        ReloadedPart::Tls(self.port)
    }

    fn look(&self, asked: bool) -> Option<Result<(), String>> {
        self.read_again(asked).map(|used| used.map_err(|fault| fault.to_string()))
    }

    fn show(&self, metrics: &Metrics) {
        let expires = self.current().expires.as_secs_f64();
        metrics.tls_certificate_expiry.of(self.port).set(expires);
    }
}
