//! The settings of TLS, for both ports.

use super::fault::ConfigFault;
use super::settings::ServiceSettings;
use crate::metrics::WhichPort;
use crate::tls::{ClientAuth, PortTls, TlsPorts, TlsSettings, TlsVersion};
use std::net::SocketAddr;
use std::path::PathBuf;

/// The settings of one port, as they are named: `prefix` comes before each name.
struct PortNames<'a> {
    prefix: &'static str,
    cert: &'a Option<PathBuf>,
    key: &'a Option<PathBuf>,
    client_ca: &'a Option<PathBuf>,
    client_auth: Option<ClientAuth>,
    min_version: TlsVersion,
}

/// TLS of both ports, from the files that the settings name.
pub(super) fn tls_ports(set: &ServiceSettings) -> Result<TlsPorts, ConfigFault> {
    let grpc = PortNames {
        prefix: "",
        cert: &set.tls_cert,
        key: &set.tls_key,
        client_ca: &set.tls_client_ca,
        client_auth: set.tls_client_auth,
        min_version: set.tls_min_version,
    };
    let metrics = PortNames {
        prefix: "metrics_",
        cert: &set.metrics_tls_cert,
        key: &set.metrics_tls_key,
        client_ca: &set.metrics_tls_client_ca,
        client_auth: set.metrics_tls_client_auth,
        min_version: set.metrics_tls_min_version,
    };
    let metrics = metrics.load(WhichPort::Operations)?;
    Ok(TlsPorts::new(grpc.load(WhichPort::Grpc)?, metrics))
}

impl PortNames<'_> {
    /// `None`: the port does not speak TLS.
    fn load(self, port: WhichPort) -> Result<Option<PortTls>, ConfigFault> {
        let Some(settings) = self.settings()? else { return Ok(None) };
        let loaded = PortTls::load(settings, port);
        loaded.map(Some).map_err(|fault| ConfigFault(fault.to_string()))
    }

    fn settings(self) -> Result<Option<TlsSettings>, ConfigFault> {
        let Self { prefix, cert, key, client_ca, client_auth, min_version } = self;
        let fault = |what: &str, lacks: &str| {
            Err(ConfigFault(format!("{prefix}{what} is set, but {prefix}{lacks} is not")))
        };
        let asks = client_auth.is_some_and(|auth| auth != ClientAuth::None);
        match (cert, key) {
            (Some(_), None) => return fault("tls_cert", "tls_key"),
            (None, Some(_)) => return fault("tls_key", "tls_cert"),
            // A port that was meant to be closed to strangers must not be open.
            (None, None) if client_ca.is_some() => return fault("tls_client_ca", "tls_cert"),
            (None, None) if asks => return fault("tls_client_auth", "tls_cert"),
            _ if asks && client_ca.is_none() => return fault("tls_client_auth", "tls_client_ca"),
            _ => {}
        }
        let (Some(cert), Some(key)) = (cert.clone(), key.clone()) else { return Ok(None) };
        let if_not_set = match client_ca {
            Some(_) => ClientAuth::Required,
            None => ClientAuth::None,
        };
        let (client_ca, client_auth) = (client_ca.clone(), client_auth.unwrap_or(if_not_set));
        Ok(Some(TlsSettings { cert, key, client_ca, client_auth, min_version }))
    }
}

/// Refuses to serve gRPC on this address with neither TLS nor principals, if others than this machine
/// may reach it and nobody has said that this is meant. With principals alone it warns.
pub(super) fn check_exposure(
    grpc: SocketAddr,
    tls: &TlsPorts,
    has_principals: bool,
    insecure: bool,
) -> Result<(), ConfigFault> {
    if tls.grpc.is_some() || grpc.ip().to_canonical().is_loopback() {
        return Ok(());
    }
    if has_principals {
        tracing::warn!(
            %grpc,
            "tokens can be read on their way: without TLS they are sent in clear text; name a \
             certificate with --tls-cert and --tls-key, or see to it that something in front speaks TLS"
        );
        return Ok(());
    }
    if insecure {
        return Ok(());
    }
    Err(ConfigFault(format!(
        "gRPC on {grpc} can be reached from beyond this machine, and with neither TLS nor principals \
         whoever reaches it may change every alias: name a certificate with --tls-cert and --tls-key, \
         or principals with --auth-file, or say --insecure"
    )))
}
