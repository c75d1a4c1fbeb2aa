//! The two listening sockets: passed by the service manager, or bound here.
//!
//! A third way, from an older process, is in [`handover`](super::handover).

use super::port_owner;
use crate::config::Config;
use listenfd::ListenFd;
use rustix::net::sockopt::socket_acceptconn;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;

/// The names under which the service manager passes the sockets (`FileDescriptorName=` of a socket
/// unit of systemd).
const NAMES: [&str; 2] = ["grpc", "ops"];

/// The listening sockets of an instance.
#[derive(Debug)]
pub(super) struct Sockets {
    pub grpc: TcpListener,
    pub metrics: TcpListener,
}

/// The addresses that a server listens on. Port 0 is replaced by the real port.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    /// The address of the gRPC socket.
    pub grpc: SocketAddr,
    /// The address of the operations port: metrics, probes and status.
    pub metrics: SocketAddr,
}

/// Why there is no socket to listen on. Each message is one sentence for the operator.
#[derive(Debug, thiserror::Error)]
pub enum SocketFault {
    #[error("cannot listen on {address}: {error}")]
    Listen { address: SocketAddr, error: io::Error },
    #[error(
        "cannot listen on {address}: {owner} listens there; stop it first, name another address, \
         or start both with the same --handover to let this process take over"
    )]
    Taken { address: SocketAddr, owner: String },
    #[error(
        "the service manager passes a socket with the name {0:?}: FileDescriptorName must be grpc \
         or ops"
    )]
    Name(String),
    #[error(
        "the service manager passes two sockets with the name {0}: leave one ListenStream, such as \
         [::]:50051, which takes IPv4 too"
    )]
    Twice(&'static str),
    #[error("the service manager passes a connection with the name {0}: set Accept=no")]
    Connection(&'static str),
    #[error("the service manager passes a socket that cannot be used: {0}")]
    Passed(io::Error),
}

/// Sockets that the service manager has passed. Systemd calls this socket activation.
#[derive(Debug, Default)]
pub struct PassedSockets {
    grpc: Option<TcpListener>,
    metrics: Option<TcpListener>,
}

impl PassedSockets {
    /// Takes them from the environment (`LISTEN_FDS`, `LISTEN_FDNAMES`). Call it before a second
    /// thread starts, because it changes the environment.
    ///
    /// # Errors
    /// If a socket has another name, or one that another socket has, or does not listen.
    pub fn from_environment() -> Result<Self, SocketFault> {
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut names = names.split(':');
        let mut passed = ListenFd::from_env();
        let mut sockets = Self::default();
        for index in 0..passed.len() {
            let (name, place) = match names.next().unwrap_or_default() {
                name if name == NAMES[0] => (NAMES[0], &mut sockets.grpc),
                name if name == NAMES[1] => (NAMES[1], &mut sockets.metrics),
                other => return Err(SocketFault::Name(other.to_owned())),
            };
            let socket = passed.take_tcp_listener(index).map_err(SocketFault::Passed)?;
            let Some(socket) = socket else { continue };
            if !socket_acceptconn(&socket).map_err(|error| SocketFault::Passed(error.into()))? {
                return Err(SocketFault::Connection(name));
            }
            // Nobody would accept what waits in the queue of a second one.
            if place.replace(socket).is_some() {
                return Err(SocketFault::Twice(name));
            }
        }
        Ok(sockets)
    }

    /// Binds those that were not passed.
    pub(super) fn or_bind(self, config: &Config) -> Result<Sockets, SocketFault> {
        let or_bind = |passed: Option<TcpListener>, address| match passed {
            Some(socket) => Ok(socket),
            None => bind(address),
        };
        let grpc = or_bind(self.grpc, config.listen)?;
        Ok(Sockets { grpc, metrics: or_bind(self.metrics, config.metrics_listen)? })
    }

    /// The same beside an old process that is stopping, and closes `end` when it has ended. A socket
    /// that is free is bound at once, so that connections wait there and are not refused.
    pub(super) async fn or_bind_after(
        mut self,
        mut end: UnixStream,
        config: &Config,
    ) -> Result<Sockets, SocketFault> {
        let addresses = [config.listen, config.metrics_listen];
        let bind_free = |passed: &mut Self| {
            for (place, address) in
                [&mut passed.grpc, &mut passed.metrics].into_iter().zip(addresses)
            {
                if place.is_none() {
                    *place = TcpListener::bind(address).and_then(listen).ok();
                }
            }
            passed.grpc.is_some() && passed.metrics.is_some()
        };
        // The old process may end later than it says. Then the port is reported as taken.
        let longest = config.drain_delay + config.drain_timeout + END_GRACE;
        let ended = async {
            let mut none = [0];
            let _ = end.read(&mut none).await;
            tokio::time::sleep(END_GRACE).await;
        };
        let free = async {
            while !bind_free(&mut self) {
                tokio::time::sleep(BIND_PAUSE).await;
            }
        };
        tokio::select! {
            () = free => {}
            () = ended => {}
            () = tokio::time::sleep(longest) => {}
        }
        self.or_bind(config)
    }
}

/// How long the sockets of a process that has ended may take to close.
const END_GRACE: Duration = Duration::from_secs(5);

/// How often a new process looks whether a socket is free.
const BIND_PAUSE: Duration = Duration::from_millis(20);

/// How many connections may wait to be accepted, if the system allows it.
const BACKLOG: i32 = 4_096;

fn bind(address: SocketAddr) -> Result<TcpListener, SocketFault> {
    TcpListener::bind(address).and_then(listen).map_err(|error| match error.kind() {
        ErrorKind::AddrInUse => match port_owner::of(address) {
            Some(owner) => SocketFault::Taken { address, owner },
            None => SocketFault::Listen { address, error },
        },
        _ => SocketFault::Listen { address, error },
    })
}

/// Lets more connections wait than the standard library does.
fn listen(socket: TcpListener) -> io::Result<TcpListener> {
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket)
}

impl Sockets {
    pub fn addresses(&self) -> Result<Addresses, SocketFault> {
        let address = |socket: &TcpListener| socket.local_addr().map_err(SocketFault::Passed);
        Ok(Addresses { grpc: address(&self.grpc)?, metrics: address(&self.metrics)? })
    }

    /// The same sockets once more. They share what waits to be accepted.
    pub fn share(&self) -> io::Result<Self> {
        Ok(Self { grpc: self.grpc.try_clone()?, metrics: self.metrics.try_clone()? })
    }
}
