//! Clients of the tests that speak TLS: bare connections, and gRPC over them.

use super::authority::{Authority, Issued};
use aka_test_support::http2::{PREFACE, SETTINGS};
use aka_test_support::resolve_request;
use aka_wire::pb::resolver_client::ResolverClient;
use hyper_util::rt::TokioIo;
use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::ClientConnection;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{
    self, AlertDescription, ClientConfig, RootCertStore, SupportedProtocolVersion,
};
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;

/// How a client speaks TLS. Its sessions are those of this value.
#[derive(Clone)]
pub struct TlsClient(Arc<ClientConfig>);

impl TlsClient {
    /// A client that trusts this authority.
    pub fn new(trusted: &Authority) -> Self {
        Self::with(trusted, None, &[&rustls::version::TLS13], &["h2"])
    }

    /// The same, with a certificate.
    pub fn with_certificate(trusted: &Authority, own: &Issued) -> Self {
        Self::with(trusted, Some(own), &[&rustls::version::TLS13], &["h2"])
    }

    /// The same, with other versions of TLS and other protocols.
    pub fn with(
        trusted: &Authority,
        own: Option<&Issued>,
        versions: &[&'static SupportedProtocolVersion],
        protocols: &[&str],
    ) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(first_certificate(&trusted.pem)).expect("an authority");
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(versions)
            .expect("versions")
            .with_root_certificates(roots);
        let mut config = match own {
            None => builder.with_no_client_auth(),
            Some(own) => {
                let key = PrivateKeyDer::from_pem_slice(own.key.as_bytes()).expect("a key");
                let chain = vec![first_certificate(&own.cert)];
                builder.with_client_auth_cert(chain, key).expect("they belong together")
            }
        };
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        Self(Arc::new(config))
    }

    /// A connection whose handshake is complete for the client. The server may still refuse it.
    pub async fn connect(&self, server: SocketAddr) -> io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(server).await?;
        let name = ServerName::from(server.ip());
        TlsConnector::from(self.0.clone()).connect(name, stream).await
    }

    /// A connection whose client says hello, and no more.
    pub fn says_hello(&self, server: SocketAddr) -> std::net::TcpStream {
        let name = ServerName::from(server.ip());
        let mut session = ClientConnection::new(self.0.clone(), name).expect("a session");
        let mut stream = std::net::TcpStream::connect(server).expect("the server listens");
        session.write_tls(&mut stream).expect("room");
        stream
    }

    /// A connection on which the server has begun to speak HTTP/2.
    pub async fn open(&self, server: SocketAddr) -> io::Result<TlsStream<TcpStream>> {
        let mut stream = self.connect(server).await?;
        stream.write_all(&[PREFACE, SETTINGS].concat()).await?;
        let mut settings = [0; 9];
        stream.read_exact(&mut settings).await?;
        assert_eq!(settings[3], SETTINGS[3], "an HTTP/2 server begins with its settings");
        Ok(stream)
    }

    /// The alert with which the server refuses a connection, before it has sent a byte of HTTP/2.
    pub async fn refusal(&self, server: SocketAddr) -> AlertDescription {
        let error = self.open(server).await.map(drop).expect_err("it is refused");
        match tls_error(&error) {
            Some(rustls::Error::AlertReceived(alert)) => *alert,
            _ => panic!("{error:?}"),
        }
    }

    /// A gRPC connection.
    pub async fn channel(&self, server: SocketAddr) -> Result<Channel, tonic::transport::Error> {
        let client = self.clone();
        let connector = service_fn(move |_| {
            let client = client.clone();
            async move {
                let stream = client.connect(server).await?;
                Ok::<_, Box<dyn Error + Send + Sync>>(TokioIo::new(stream))
            }
        });
        // The connector speaks TLS. For an https endpoint tonic would do so, too.
        let endpoint = Endpoint::from_shared(format!("http://{server}")).expect("an address");
        let origin = format!("https://{server}").parse().expect("an address");
        endpoint.origin(origin).connect_with_connector(connector).await
    }

    /// The canonical id of this one, asked for on a new connection.
    pub async fn resolve(&self, server: SocketAddr, id: &str) -> String {
        let channel = self.channel(server).await.expect("a connection");
        let request = resolve_request(aka_test_support::PROJECT, id);
        let answer = ResolverClient::new(channel).resolve(request).await.expect("an answer");
        String::from_utf8(answer.into_inner().canonical_id.to_vec()).expect("UTF-8")
    }

    /// Whether new connections get this certificate.
    pub async fn is_shown(&self, issued: &Issued, server: SocketAddr) -> bool {
        let stream = self.open(server).await.expect("a connection");
        let shown = stream.get_ref().1.peer_certificates().expect("a server shows one");
        shown[0] == first_certificate(&issued.cert)
    }
}

fn first_certificate(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).expect("a certificate")
}

/// The error of TLS in an error of a connection.
pub fn tls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}
