use super::*;
use crate::metrics::WhichPort;
use crate::tls::{ClientAuth, TlsSettings, TlsVersion};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use tempfile::TempDir;
use tokio::io::{DuplexStream, duplex};
use tokio::task::yield_now;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore};

/// The gRPC port, with a certificate that its client trusts.
struct Site {
    port: PortTls,
    client: Arc<ClientConfig>,
    _folder: TempDir,
}

fn site() -> Site {
    let names = vec!["localhost".to_owned()];
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(names).expect("a certificate");
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let path = |name| folder.path().join(name);
    std::fs::write(path("cert"), cert.pem()).expect("written");
    std::fs::write(path("key"), signing_key.serialize_pem()).expect("written");
    let private = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(path("key"), private).expect("its owner may");
    let settings = TlsSettings {
        cert: path("cert"),
        key: path("key"),
        client_ca: None,
        client_auth: ClientAuth::None,
        min_version: TlsVersion::V1_3,
    };
    let port = PortTls::load(settings, WhichPort::Grpc).expect("good files");
    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone()).expect("a certificate");
    let mut client = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    client.alpn_protocols = vec![b"h2".to_vec()];
    Site { port, client: Arc::new(client), _folder: folder }
}

impl Site {
    /// The server's end of a connection whose client has said hello and waits, and the client's end.
    async fn greeted(&self) -> (DuplexStream, DuplexStream) {
        let name = ServerName::try_from("localhost").expect("a name");
        let mut session = ClientConnection::new(self.client.clone(), name).expect("a session");
        let mut hello = Vec::new();
        session.write_tls(&mut hello).expect("written");
        let (mut client, server) = duplex(1 << 16);
        client.write_all(&hello).await.expect("there is room");
        (server, client)
    }
}

/// Lets all tasks run until each waits. Their number of steps is known to be small.
async fn settle() {
    for _ in 0..1_000 {
        yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_handshake_ends_at_its_time() {
    let (site, metrics) = (site(), Metrics::new());
    let (silent, _client) = duplex(1 << 16);
    let (greeted, _other_client) = site.greeted().await;
    for server in [silent, greeted] {
        let began = Instant::now();
        let until = began + Duration::from_secs(10);
        assert!(site.port.accept(server, until, &metrics).await.is_none());
        assert_eq!(began.elapsed().as_secs(), 10);
    }
    let text = metrics.render();
    assert!(text.contains("aka_tls_handshakes_total{result=\"timed_out\"} 2\n"), "{text}");
    assert_eq!(site.port.places.free(), 256, "no place is lost");
}

/// A client that is told that it is refused need not close the connection.
#[tokio::test(start_paused = true)]
async fn a_client_that_is_refused_is_not_waited_for_long() {
    let (site, metrics) = (site(), Metrics::new());
    let (server, mut client) = duplex(1 << 16);
    client.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.expect("there is room");
    let began = Instant::now();
    let until = began + Duration::from_secs(10);
    assert!(site.port.accept(server, until, &metrics).await.is_none());
    assert_eq!(began.elapsed().as_secs(), LINGER.as_secs());
    let mut told = Vec::new();
    client.read_to_end(&mut told).await.expect("it is closed in order");
    assert_eq!(told[..3], [21, 3, 3], "an alert: {told:?}");
}

#[tokio::test(start_paused = true)]
async fn so_many_handshakes_are_carried_out_at_once() {
    let (site, metrics) = (Arc::new(site()), Arc::new(Metrics::new()));
    let until = Instant::now() + Duration::from_secs(10);
    let begin = |server: DuplexStream| {
        let (site, metrics) = (site.clone(), metrics.clone());
        tokio::spawn(async move { site.port.accept(server, until, &metrics).await.is_some() })
    };
    // Those that say nothing hold no place.
    let mut silent = Vec::new();
    for _ in 0..300 {
        let (server, client) = duplex(1 << 10);
        silent.push((begin(server), client));
    }
    settle().await;
    assert_eq!(site.port.places.free(), 256);
    let mut busy = Vec::new();
    for _ in 0..256 {
        let (server, client) = site.greeted().await;
        busy.push((begin(server), client));
    }
    settle().await;
    assert_eq!(site.port.places.free(), 0);
    let (server, mut waiting) = site.greeted().await;
    let _handshake = begin(server);
    settle().await;
    let mut first = [0; 1];
    let answered = tokio::time::timeout(Duration::from_millis(200), waiting.read(&mut first)).await;
    assert!(answered.is_err(), "there is no place for it yet");
    drop(busy.pop());
    settle().await;
    waiting.read_exact(&mut first).await.expect("now there is");
    assert_eq!(first, [22], "a handshake");
    // All others stop half-way. A new one waits for a quarter of a second, and one gives way.
    let (server, mut newcomer) = site.greeted().await;
    let (began, _handshake) = (Instant::now(), begin(server));
    newcomer.read_exact(&mut first).await.expect("one has given way");
    assert!(began.elapsed() <= Duration::from_millis(250));
    settle().await;
    assert_eq!(site.port.places.free(), 0);
    assert!(busy[0].0.is_finished() && !busy[1].0.is_finished(), "the one that was first");
    let text = metrics.render();
    assert!(text.contains("aka_tls_handshakes_total{result=\"made_room\"} 1\n"), "{text}");
}
