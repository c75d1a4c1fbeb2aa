//! The connection of a command to a server: TCP, and TLS if the URL says https.

use super::fault::CliFault;
use super::server_url::ServerUrl;
use crate::tls::client_config;
use clap::Args;
use parking_lot::Mutex;
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

/// Why the last connection could not be used, if TLS tells. A channel runs its connections apart from
/// its calls: a call that comes after the end of one hears only that it is closed.
#[derive(Clone, Debug, Default)]
pub(super) struct LastRefusal(Arc<Mutex<Option<String>>>);

impl LastRefusal {
    pub fn get(&self) -> Option<String> {
        self.0.lock().clone()
    }

    /// A new connection begins.
    pub fn forget(&self) {
        *self.0.lock() = None;
    }

    /// An error, in words that say what to do. It is noted if it is one of TLS.
    fn note(&self, error: Error) -> Error {
        let error = explained(error);
        if error.get_ref().is_some_and(|cause| cause.is::<TlsRefusal>()) {
            *self.0.lock() = Some(error.to_string());
        }
        error
    }
}

/// Why the two sides do not come together.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct TlsRefusal(String);

/// A connection to a server.
pub(super) struct ClientStream {
    transport: Transport,
    refusal: LastRefusal,
}

enum Transport {
    Plain {
        stream: TcpStream,
        /// Whether the server has sent something.
        heard: bool,
    },
    Encrypted(Box<TlsStream<TcpStream>>),
}

impl ClientStream {
    /// Carries out the handshake of TLS, if there is one.
    pub async fn open(
        stream: TcpStream,
        tls: Option<&ServerTls>,
        refusal: LastRefusal,
    ) -> Result<Self> {
        let Some(ServerTls { config, name }) = tls else {
            return Ok(Self { transport: Transport::Plain { stream, heard: false }, refusal });
        };
        let connector = TlsConnector::from(config.clone());
        let opened = connector.connect(name.clone(), stream).await.map_err(|error| {
            match error.kind() {
                // So end servers that do not speak TLS.
                ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset => {
                    let text =
                        "the server ended the TLS handshake; does it speak TLS on this port?";
                    Error::new(error.kind(), text)
                }
                _ => explained(error),
            }
        });
        Ok(Self { transport: Transport::Encrypted(Box::new(opened?)), refusal })
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
    Error::new(error.kind(), TlsRefusal(text))
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
        let Self { transport, refusal } = &mut *self;
        match transport {
            Transport::Plain { stream, heard: true } => Pin::new(stream).poll_read(context, buffer),
            Transport::Plain { stream, heard } => {
                let before = buffer.filled().len();
                ready!(Pin::new(stream).poll_read(context, buffer))?;
                let Some(&first) = buffer.filled().get(before) else { return Poll::Ready(Ok(())) };
                *heard = true;
                if !is_tls(first) {
                    return Poll::Ready(Ok(()));
                }
                let text = "the server speaks TLS on this port: name it by https://".to_owned();
                let error = Error::new(ErrorKind::InvalidData, TlsRefusal(text));
                Poll::Ready(Err(refusal.note(error)))
            }
            Transport::Encrypted(stream) => {
                Pin::new(stream).poll_read(context, buffer).map_err(|error| refusal.note(error))
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
        match &mut self.transport {
            Transport::Plain { stream, .. } => Pin::new(stream).poll_write(context, bytes),
            Transport::Encrypted(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        match &mut self.transport {
            Transport::Plain { stream, .. } => Pin::new(stream).poll_flush(context),
            Transport::Encrypted(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        match &mut self.transport {
            Transport::Plain { stream, .. } => Pin::new(stream).poll_shutdown(context),
            Transport::Encrypted(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
