//! TLS for the servers of the comparison, and the cost of a handshake.

use crate::Fault;
use crate::process::Server;
use crate::sample::Sample;
use aka_load::{LoadTls, Process};
use hdrhistogram::Histogram;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// How many clients connect at once.
const CLIENTS: usize = 8;

/// The first bytes of every HTTP/2 client, with empty settings.
const OPENING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// A certificate for this machine (ECDSA, P-256), and clients that trust it.
pub struct Certificate {
    /// The paths of the certificate and of its key.
    pub files: [String; 2],
    config: Arc<ClientConfig>,
}

impl Certificate {
    /// Makes one, with its files in this folder.
    pub fn new(folder: &Path) -> Result<Self, Fault> {
        let names = ["localhost".to_owned()];
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(names)?;
        let [cert_file, key_file] = ["cert.pem", "key.pem"].map(|name| folder.join(name));
        fs::write(&cert_file, cert.pem())?;
        fs::write(&key_file, signing_key.serialize_pem())?;
        fs::set_permissions(&key_file, Permissions::from_mode(0o600))?;
        let mut roots = RootCertStore::empty();
        roots.add(cert.der().clone())?;
        let provider = Arc::new(ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec()];
        // Each handshake is a whole one.
        config.resumption = Resumption::disabled();
        let files = [cert_file, key_file].map(|file| file.display().to_string());
        Ok(Self { files, config: Arc::new(config) })
    }

    /// How the load speaks TLS.
    pub fn client(&self) -> Result<LoadTls, Fault> {
        Ok(LoadTls { config: self.config.clone(), name: name()? })
    }

    /// Opens connections one after the other, each client its own. An id of the sample is a
    /// connection, from TCP to the first frame of the server.
    pub async fn handshakes(&self, server: &Server, time: Duration) -> Result<Sample, Fault> {
        let (process, address) = (Process(server.pid()), server.address);
        let cpu = || process.cpu_time().ok_or("the CPU time of the server cannot be read");
        let (before, began) = (cpu()?, Instant::now());
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                let connector = TlsConnector::from(self.config.clone());
                tokio::spawn(async move {
                    let mut taken = Histogram::<u64>::new(3)?;
                    while began.elapsed() < time {
                        let opened = Instant::now();
                        let stream = TcpStream::connect(address).await?;
                        stream.set_nodelay(true)?;
                        let mut stream = connector.connect(name()?, stream).await?;
                        stream.write_all(OPENING).await?;
                        stream.read_u8().await?;
                        taken.saturating_record(opened.elapsed().as_micros() as u64);
                    }
                    Ok::<_, Fault>(taken)
                })
            })
            .collect();
        let mut taken = Histogram::<u64>::new(3)?;
        for client in clients {
            taken.add(client.await??)?;
        }
        let spent = (cpu()? - before).as_secs_f64();
        let count = taken.len().max(1) as f64;
        Ok(Sample {
            ids_per_second: count / began.elapsed().as_secs_f64(),
            cpu_us: spent * 1e6 / count,
            p50_us: taken.value_at_quantile(0.5) as f64,
            p99_us: taken.value_at_quantile(0.99) as f64,
        })
    }
}

fn name() -> Result<ServerName<'static>, Fault> {
    Ok(ServerName::try_from("localhost")?)
}
