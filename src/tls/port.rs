//! TLS of one port: its settings, and what its files held when they were last good.

use super::fault::TlsFault;
use super::files::{authorities, certificate_file, certificates, key_file, private_key};
use super::handshake_places::HandshakePlaces;
use super::settings::{ClientAuth, TlsSettings, TlsVersion};
use crate::metrics::WhichPort;
use crate::reload::LastLook;
use parking_lot::RwLock;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::server::danger::ClientCertVerifier;
use tokio_rustls::rustls::server::{NoClientAuth, NoServerSessionStorage, WebPkiClientVerifier};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ServerConfig, SupportedProtocolVersion};
use x509_cert::Certificate;
use x509_cert::der::Decode;
use xxhash_rust::xxh3::Xxh3;

/// TLS of one port. What its files held is replaced while connections are open; they keep theirs.
pub struct PortTls {
    settings: TlsSettings,
    pub(super) port: WhichPort,
    current: RwLock<UsedFiles>,
    seen: LastLook,
    pub(super) places: HandshakePlaces,
}

/// What is made of the files.
#[derive(Clone)]
pub(super) struct UsedFiles {
    pub config: Arc<ServerConfig>,
    /// The time at which the first of the certificates expires, since 1970.
    pub expires: Duration,
}

impl PortTls {
    /// Reads the files.
    ///
    /// # Errors
    /// If one of them cannot be used.
    pub fn load(settings: TlsSettings, port: WhichPort) -> Result<Self, TlsFault> {
        let held = HeldBytes::read(&settings)?;
        let current = RwLock::new(held.used(&settings, port)?);
        let (seen, places) = (LastLook::new(held.fingerprint()), HandshakePlaces::new());
        Ok(Self { settings, port, current, seen, places })
    }

    /// When the first of the port's certificates expires, since 1970.
    pub fn expires(&self) -> Duration {
        self.current().expires
    }

    /// The protocol that a client must offer (ALPN). `None`: it need not offer any.
    pub(super) fn required_protocol(&self) -> Option<&'static [u8]> {
        (self.port == WhichPort::Grpc).then(|| protocol(self.port))
    }

    /// What new connections use.
    pub(super) fn current(&self) -> UsedFiles {
        self.current.read().clone()
    }

    /// Looks at the files, and uses them if they hold something else than at the last look, or if
    /// somebody has `asked` for that. `None`: they hold the same. This may block for a moment.
    pub(super) fn read_again(&self, asked: bool) -> Option<Result<(), TlsFault>> {
        let held = HeldBytes::read(&self.settings);
        let fingerprint = held.as_ref().map(HeldBytes::fingerprint);
        let is_news = self.seen.is_news(fingerprint.map_err(|fault| fault.0.as_str()));
        if !is_news && !asked {
            return None;
        }
        let used = held.and_then(|held| held.used(&self.settings, self.port));
        Some(used.map(|used| *self.current.write() = used))
    }
}

/// Shows no key: it is shown with the configuration.
impl fmt::Debug for PortTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.settings.fmt(f)
    }
}

/// The protocol that a port speaks within TLS.
fn protocol(port: WhichPort) -> &'static [u8] {
    match port {
        WhichPort::Grpc => b"h2",
        WhichPort::Operations => b"http/1.1",
    }
}

/// What the files of a port held at one moment.
struct HeldBytes {
    cert: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

impl HeldBytes {
    fn read(settings: &TlsSettings) -> Result<Self, TlsFault> {
        let cert = certificate_file(&settings.cert)?;
        let key = key_file(&settings.key)?;
        let client_ca = settings.client_ca.as_deref().map(certificate_file).transpose()?;
        Ok(Self { cert, key, client_ca })
    }

    /// Tells whether the contents are the same as before. Times and inodes do not: Kubernetes swaps
    /// a link, and other tools write the same bytes again.
    fn fingerprint(&self) -> u128 {
        let mut hash = Xxh3::new();
        for bytes in [Some(&self.cert), Some(&self.key), self.client_ca.as_ref()] {
            let bytes = bytes.map_or(&[][..], Vec::as_slice);
            hash.update(&bytes.len().to_le_bytes());
            hash.update(bytes);
        }
        hash.digest128()
    }

    /// Checks all, and makes a configuration of its own. Sessions are part of it: none of before can
    /// be resumed after a file has changed.
    fn used(&self, settings: &TlsSettings, port: WhichPort) -> Result<UsedFiles, TlsFault> {
        let TlsSettings { cert, key, client_auth, min_version, .. } = settings;
        let chain = certificates(cert, &self.cert)?;
        let expires = first_expiry(cert, &chain)?;
        if SystemTime::now().duration_since(UNIX_EPOCH).is_ok_and(|now| now >= expires) {
            return Err(TlsFault(format!(
                "{} holds a certificate that has expired",
                cert.display()
            )));
        }
        let private_key = private_key(key, &self.key)?;
        let provider = provider();
        let verifier = self.verifier(settings, &provider)?;
        let versions: &[&SupportedProtocolVersion] = match min_version {
            TlsVersion::V1_2 => &[&TLS13, &TLS12],
            TlsVersion::V1_3 => &[&TLS13],
        };
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .map(|builder| builder.with_client_cert_verifier(verifier))
            .and_then(|builder| builder.with_single_cert(chain, private_key));
        let mut config = config.map_err(|error| {
            let (cert, key) = (cert.display(), key.display());
            TlsFault(format!(
                "the certificate {cert} and the private key {key} cannot be used: {error}"
            ))
        })?;
        config.alpn_protocols = vec![protocol(port).to_vec()];
        if *client_auth != ClientAuth::None {
            // Each connection shows its certificate anew, so that none outlives its end.
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
        Ok(UsedFiles { config: Arc::new(config), expires })
    }

    fn verifier(
        &self,
        settings: &TlsSettings,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Arc<dyn ClientCertVerifier>, TlsFault> {
        let (Some(path), Some(pem)) = (&settings.client_ca, &self.client_ca) else {
            return Ok(Arc::new(NoClientAuth));
        };
        let roots = Arc::new(authorities(path, pem)?);
        let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider.clone());
        let verifier = match settings.client_auth {
            ClientAuth::None => return Ok(Arc::new(NoClientAuth)),
            ClientAuth::Optional => verifier.allow_unauthenticated(),
            ClientAuth::Required => verifier,
        };
        let built = verifier.build();
        let verifier = built.map_err(|error| {
            TlsFault(format!("the authorities in {} cannot be used: {error}", path.display()))
        })?;
        Ok(verifier)
    }
}

/// The cryptography that all of aka uses.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// When the first of these certificates expires, since 1970.
fn first_expiry(path: &Path, chain: &[CertificateDer<'_>]) -> Result<Duration, TlsFault> {
    let mut first = Duration::MAX;
    for certificate in chain {
        let certificate = Certificate::from_der(certificate).map_err(|error| {
            TlsFault(format!("{} holds a certificate that cannot be read: {error}", path.display()))
        })?;
        let not_after = certificate.tbs_certificate().validity().not_after;
        first = first.min(not_after.to_unix_duration());
    }
    Ok(first)
}
