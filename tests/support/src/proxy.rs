//! A TCP proxy in front of a database. It makes the network as bad as a test wants.
//!
//! Its mode can be changed at any time, for open connections too. Its target can be changed as well,
//! which simulates a failover.

use crate::port::free_port;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What the proxy does with the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Bytes pass at once.
    Pass,
    /// Bytes arrive later by this time, in each direction.
    Delay(Duration),
    /// Nothing gets through in either direction, and nothing is lost. As TCP would, the proxy
    /// delivers the bytes when the mode changes, even if the sender has given up long before.
    BlackHole,
    /// Requests get through. Answers do not, until the mode changes.
    Mute,
    /// Open connections are reset. New ones are accepted and then reset.
    Reset,
    /// Open connections are reset, and the port is closed.
    Refuse,
}

impl Mode {
    fn resets(self) -> bool {
        matches!(self, Self::Reset | Self::Refuse)
    }
}

/// A proxy on a port of its own. Dropping it ends it, and all connections through it.
pub struct Proxy {
    port: u16,
    control: watch::Sender<Control>,
}

#[derive(Clone, Copy)]
struct Control {
    mode: Mode,
    target: u16,
}

impl Proxy {
    /// Starts a proxy before the server on this loopback port.
    pub async fn start(target: u16) -> Self {
        let (control, watched) = watch::channel(Control { mode: Mode::Pass, target });
        let (port, listener) = loop {
            // Another process may take the port before it is bound.
            let port = free_port();
            if let Ok(listener) = TcpListener::bind(("127.0.0.1", port)).await {
                break (port, listener);
            }
        };
        tokio::spawn(run(port, listener, watched));
        Self { port, control }
    }

    /// The loopback port of the proxy.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The URL of a database of the server behind the proxy, for the administrator.
    pub fn url(&self, database: &str) -> String {
        format!("mysql://root@127.0.0.1:{}/{database}?ssl-mode=disabled", self.port)
    }

    /// Changes the mode.
    pub fn set(&self, mode: Mode) {
        self.control.send_modify(|control| control.mode = mode);
    }

    /// New connections lead to another server; those that are open still lead to the old one.
    pub fn point_at(&self, target: u16) {
        self.control.send_modify(|control| control.target = target);
    }
}

async fn run(port: u16, first: TcpListener, mut control: watch::Receiver<Control>) {
    let mut listener = Some(first);
    loop {
        let Control { mode, target } = *control.borrow_and_update();
        match (mode, &listener) {
            (Mode::Refuse, _) => listener = None,
            // The port is below those of outgoing connections: it is still free, or about to be.
            (_, None) => listener = TcpListener::bind(("127.0.0.1", port)).await.ok(),
            _ => {}
        }
        let Some(open) = &listener else {
            // The mode is `Refuse`, or the port is not free yet.
            let changed = tokio::time::timeout(Duration::from_millis(20), control.changed()).await;
            if matches!(changed, Ok(Err(_))) {
                return;
            }
            continue;
        };
        tokio::select! {
            changed = control.changed() => if changed.is_err() { return },
            accepted = open.accept() => if let Ok((client, _)) = accepted {
                tokio::spawn(connection(client, target, control.clone()));
            },
        }
    }
}

/// One connection, until both directions have ended, or the mode resets it.
async fn connection(mut client: TcpStream, target: u16, mut control: watch::Receiver<Control>) {
    if control.borrow().mode.resets() {
        return reset(&client);
    }
    let target = SocketAddr::from(([127, 0, 0, 1], target));
    let Ok(mut server) = TcpStream::connect(target).await else { return reset(&client) };
    // Only the mode may delay bytes.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let ended = {
        let (client, server) = (client.split(), server.split());
        let there = pump(client.0, server.1, Way::There, control.clone());
        let back = pump(server.0, client.1, Way::Back, control.clone());
        tokio::select! {
            ended = async { tokio::try_join!(there, back) } => ended.map(drop),
            _ = until(&mut control, Mode::resets) => Err(io::ErrorKind::ConnectionReset.into()),
        }
    };
    if ended.is_err() {
        reset(&client);
        reset(&server);
    }
}

/// Lets the stream be reset when it is dropped. Its other side then reads an error, not an end.
fn reset(stream: &TcpStream) {
    let _ = stream.set_zero_linger();
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    There,
    Back,
}

impl Way {
    fn is_held_up(self, mode: Mode) -> bool {
        mode == Mode::BlackHole || mode == Mode::Mute && self == Self::Back
    }
}

/// Waits for a mode. An error if the proxy ends.
async fn until(
    control: &mut watch::Receiver<Control>,
    wanted: impl Fn(Mode) -> bool,
) -> io::Result<()> {
    let found = control.wait_for(|control| wanted(control.mode)).await.map(drop);
    found.map_err(|_| io::ErrorKind::ConnectionReset.into())
}

/// Carries bytes one way until there are no more.
async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    way: Way,
    mut control: watch::Receiver<Control>,
) -> io::Result<()> {
    let mut buffer = vec![0; 16 << 10];
    loop {
        let read = from.read(&mut buffer).await?;
        let mode = control.borrow().mode;
        if let Mode::Delay(delay) = mode {
            tokio::time::sleep(delay).await;
        }
        // The end of a connection is held up as well.
        until(&mut control, |mode| !way.is_held_up(mode)).await?;
        if read == 0 {
            return to.shutdown().await;
        }
        to.write_all(&buffer[..read]).await?;
    }
}
