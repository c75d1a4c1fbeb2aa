//! The handshake of a server, from a client's first bytes to its certificate.

use super::port::PortTls;
use crate::metrics::{HandshakeResult, Metrics};
use std::io::{Error, ErrorKind};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy, sink};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::rustls;
use tokio_rustls::rustls::server::Acceptor;
use tokio_rustls::server::TlsStream;

/// The fatal alert "no_application_protocol", as a record of its own (RFC 8446, section 5.1, and
/// RFC 7301, section 3.2). rustls sends it only to clients that offer some protocol.
const NO_APPLICATION_PROTOCOL: [u8; 7] = [21, 3, 3, 0, 2, 2, 120];

/// How long a client that is refused may take to read why.
const LINGER: Duration = Duration::from_secs(1);
/// How many of its bytes are read meanwhile.
const LINGER_BYTES: u64 = 64 << 10;

/// A handshake that failed, and the connection if it can still be written to.
struct FailedHandshake<S> {
    error: Error,
    stream: Option<S>,
}

/// A handshake that did not go on while others waited for its place.
#[derive(Debug, thiserror::Error)]
#[error("it did not go on, and others waited for its place")]
struct GaveWay;

impl PortTls {
    /// Carries out the handshake, and counts it. It must be complete at `until`. `None`: it was not,
    /// and the client has been told why if it listens.
    pub async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
        until: Instant,
        metrics: &Metrics,
    ) -> Option<TlsStream<S>> {
        let count = |result| metrics.tls_handshakes.of(result).increment(1);
        let failed = match timeout_at(until, self.shake_hands(stream)).await {
            Ok(Ok(stream)) => {
                count(HandshakeResult::Ok);
                return Some(stream);
            }
            Ok(Err(failed)) => failed,
            Err(_) => FailedHandshake { error: ErrorKind::TimedOut.into(), stream: None },
        };
        count(result_of(&failed.error));
        // What a stranger can cause is no warning.
        tracing::debug!(error = %failed.error, "a TLS handshake failed");
        if let Some(stream) = failed.stream {
            // A place is not held meanwhile.
            let until = until.min(Instant::now() + LINGER);
            let _ = timeout_at(until, part_from(stream)).await;
        }
        None
    }

    async fn shake_hands<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
    ) -> Result<TlsStream<S>, FailedHandshake<S>> {
        // A client that says nothing holds no place.
        let mut hello = LazyConfigAcceptor::new(Acceptor::default(), stream);
        let begun = match (&mut hello).await {
            Ok(begun) => begun,
            Err(error) => return Err(FailedHandshake { error, stream: hello.take_io() }),
        };
        if let Some(protocol) = self.required_protocol() {
            let hello = begun.client_hello();
            if !hello.alpn().into_iter().flatten().any(|offered| offered == protocol) {
                let mut stream = begun.io;
                // The client may have left.
                let _ = stream.write_all(&NO_APPLICATION_PROTOCOL).await;
                let error = Error::other(rustls::Error::NoApplicationProtocol);
                return Err(FailedHandshake { error, stream: Some(stream) });
            }
        }
        let place = self.places.take().await;
        tokio::select! {
            biased;
            accepted = begun.into_stream(self.current().config).into_fallible() => {
                accepted.map_err(|(error, stream)| FailedHandshake { error, stream: Some(stream) })
            }
            () = place.gives_way() => {
                Err(FailedHandshake { error: Error::other(GaveWay), stream: None })
            }
        }
    }
}

/// Closes a connection so that the client can read the alert. Bytes that were not read would reset
/// the connection, and the alert would be lost: a client of TLS 1.3 sends its first request together
/// with its certificate.
async fn part_from<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) -> Result<(), Error> {
    stream.shutdown().await?;
    copy(&mut stream.take(LINGER_BYTES), &mut sink()).await?;
    Ok(())
}

/// What came of a handshake that failed.
fn result_of(error: &Error) -> HandshakeResult {
    if error.get_ref().is_some_and(|cause| cause.is::<GaveWay>()) {
        return HandshakeResult::MadeRoom;
    }
    let Some(cause) = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>())
    else {
        return match error.kind() {
            ErrorKind::TimedOut => HandshakeResult::TimedOut,
            _ => HandshakeResult::BrokenOff,
        };
    };
    match cause {
        rustls::Error::InvalidMessage(_) | rustls::Error::PeerSentOversizedRecord => {
            HandshakeResult::NotTls
        }
        rustls::Error::PeerIncompatible(_) => HandshakeResult::Incompatible,
        rustls::Error::NoApplicationProtocol => HandshakeResult::NoProtocol,
        rustls::Error::NoCertificatesPresented => HandshakeResult::NoCertificate,
        rustls::Error::InvalidCertificate(_) => HandshakeResult::BadCertificate,
        rustls::Error::AlertReceived(_) => HandshakeResult::RefusedByClient,
        _ => HandshakeResult::Failed,
    }
}

#[cfg(test)]
mod tests;
