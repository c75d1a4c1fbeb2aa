//! The connection of a command to a server: TCP, and TLS if the URL says https.

use super::fault::CliFault;
use super::server_url::ServerUrl;
use crate::tls::client_config;
use clap::Args;
use std::io::{Error, ErrorKind, Result};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{self, AlertDescription, ClientConfig};

/// Whom to trust, and what to show, if the server is named by https.
#[derive(Args, Clone, Debug)]
pub struct TlsArgs {
    /// The authorities that vouch for an https server, in PEM [default: those of the system]
    #[arg(long, env = "AKA_CA", value_name = "FILE")]
    pub ca: Option<PathBuf>,

    /// The certificate to show to an https server, in PEM
    #[arg(long, env = "AKA_CERT", value_name = "FILE", requires = "key")]
    pub cert: Option<PathBuf>,

    /// The private key of that certificate, in PEM; nobody else may be able to read the file
    #[arg(long, env = "AKA_KEY", value_name = "FILE", requires = "cert")]
    pub key: Option<PathBuf>,
}

/// How to speak TLS with one server.
#[derive(Clone, Debug)]
pub(super) struct ServerTls {
    pub config: Arc<ClientConfig>,
    /// The name that the server's certificate must hold.
    pub name: ServerName<'static>,
}

impl TlsArgs {
    /// What the flags mean for this server, which speaks `protocol` within TLS. `None`: no TLS.
    pub(super) fn of(
        &self,
        server: &ServerUrl,
        protocol: &[u8],
    ) -> std::result::Result<Option<ServerTls>, CliFault> {
        if !server.is_https() {
            // Whoever names them wants TLS, so a call without it would be a mistake.
            return match [&self.ca, &self.cert, &self.key] {
                [None, None, None] => Ok(None),
                _ => Err(CliFault::Usage(format!(
                    "--ca, --cert and --key need a server that is named by https, not {server}"
                ))),
            };
        }
        let (host, _) = server.host_and_port();
        let name = ServerName::try_from(host.to_owned());
        let name = name.map_err(|_| CliFault::Usage(format!("{host:?} is no name of a server")))?;
        let own = self.cert.as_deref().zip(self.key.as_deref());
        let config = client_config(self.ca.as_deref(), own, protocol);
        let config = config.map_err(|fault| CliFault::Usage(fault.to_string()))?;
        Ok(Some(ServerTls { config, name }))
    }
}

/// A connection to a server.
pub(super) enum ClientStream {
    Plain {
        stream: TcpStream,
        /// Whether the server has sent something.
        heard: bool,
    },
    Encrypted(Box<TlsStream<TcpStream>>),
}

impl ClientStream {
    /// Carries out the handshake of TLS, if there is one.
    pub async fn open(stream: TcpStream, tls: Option<&ServerTls>) -> Result<Self> {
        let Some(ServerTls { config, name }) = tls else {
            return Ok(Self::Plain { stream, heard: false });
        };
        let connector = TlsConnector::from(config.clone());
        let opened = connector.connect(name.clone(), stream).await;
        opened.map(|stream| Self::Encrypted(Box::new(stream))).map_err(|error| {
            match error.kind() {
                // So end servers that do not speak TLS.
                ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset => Error::new(
                    error.kind(),
                    "the server ended the TLS handshake; does it speak TLS on this port?",
                ),
                _ => explained(error),
            }
        })
    }
}

/// An error of TLS, with what to do about it.
fn explained(error: Error) -> Error {
    use AlertDescription::{CertificateRequired, NoApplicationProtocol, ProtocolVersion};
    let Some(cause) = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>())
    else {
        return error;
    };
    let text = match cause {
        rustls::Error::InvalidMessage(_) => "the server does not speak TLS on this port".to_owned(),
        rustls::Error::InvalidCertificate(_) => {
            format!("{cause}; --ca names the authorities that are trusted")
        }
        rustls::Error::AlertReceived(CertificateRequired) => {
            "the server wants a client certificate: name one with --cert and --key".to_owned()
        }
        rustls::Error::AlertReceived(NoApplicationProtocol) => {
            "the server speaks another protocol within TLS on this port".to_owned()
        }
        rustls::Error::AlertReceived(ProtocolVersion) => {
            "the server speaks no version of TLS that this command does".to_owned()
        }
        rustls::Error::AlertReceived(alert) => {
            format!("the server refused the TLS connection: {alert:?}")
        }
        _ => format!("the TLS connection failed: {cause}"),
    };
    Error::new(error.kind(), text)
}

/// The first byte of a record of TLS that holds an alert or a handshake. No answer over HTTP begins
/// so.
fn is_tls(first: u8) -> bool {
    matches!(first, 21 | 22)
}

impl AsyncRead for ClientStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        match &mut *self {
            Self::Plain { stream, heard: true } => Pin::new(stream).poll_read(context, buffer),
            Self::Plain { stream, heard } => {
                let before = buffer.filled().len();
                ready!(Pin::new(stream).poll_read(context, buffer))?;
                let Some(&first) = buffer.filled().get(before) else { return Poll::Ready(Ok(())) };
                *heard = true;
                match is_tls(first) {
                    true => Poll::Ready(Err(Error::new(
                        ErrorKind::InvalidData,
                        "the server speaks TLS on this port: name it by https://",
                    ))),
                    false => Poll::Ready(Ok(())),
                }
            }
            Self::Encrypted(stream) => {
                Pin::new(stream).poll_read(context, buffer).map_err(explained)
            }
        }
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<Result<usize>> {
        match &mut *self {
            Self::Plain { stream, .. } => Pin::new(stream).poll_write(context, bytes),
            Self::Encrypted(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        match &mut *self {
            Self::Plain { stream, .. } => Pin::new(stream).poll_flush(context),
            Self::Encrypted(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        match &mut *self {
            Self::Plain { stream, .. } => Pin::new(stream).poll_shutdown(context),
            Self::Encrypted(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
