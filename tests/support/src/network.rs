//! A network of a test's own, which can be cut.
//!
//! Each member is a network namespace with one cable to a switch, which is a namespace too. A cable
//! can be pulled. Nothing outside sees this network: a server in it is reached from the test by its
//! Unix socket, through a [`Relay`], and so still is when its cable is pulled.
//!
//! The namespaces have no names. They end with the processes that hold them, however the test ends.

use crate::process::{kill_and_wait, spawn};
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// A switch with a cable to each member.
pub(crate) struct Network {
    switch: Namespace,
    members: Vec<Arc<Namespace>>,
}

impl Network {
    /// Makes a network with so many members.
    pub(crate) fn new(members: usize) -> Self {
        let switch = Namespace::new();
        switch.ip("link add bridge type bridge");
        switch.ip("link set bridge up");
        let members: Vec<_> = (0..members).map(|_| Arc::new(Namespace::new())).collect();
        for (number, member) in members.iter().enumerate() {
            let pid = member.holder.id();
            switch.ip(&format!("link add port{number} type veth peer name cable netns {pid}"));
            switch.ip(&format!("link set port{number} master bridge up"));
            member.ip("link set lo up");
            member.ip(&format!("addr add {}/24 dev cable", address(number)));
            member.ip("link set cable up");
        }
        Self { switch, members }
    }

    /// Where a member's processes run.
    pub(crate) fn member(&self, number: usize) -> Arc<Namespace> {
        self.members[number].clone()
    }

    /// Pulls a member's cable, or puts it in again.
    pub(crate) fn connect(&self, number: usize, connected: bool) {
        let state = if connected { "up" } else { "down" };
        self.switch.ip(&format!("link set port{number} {state}"));
    }
}

/// The address of a member in its network. Every network has the same.
pub(crate) fn address(number: usize) -> String {
    format!("10.0.0.{}", number + 1)
}

/// A network namespace, and the process that holds it.
#[derive(Debug)]
pub(crate) struct Namespace {
    holder: Child,
}

impl Namespace {
    fn new() -> Self {
        let mut command = Command::new("unshare");
        command.args(["--net", "sh", "-c", "echo made; exec sleep infinity"]);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut holder = spawn(command).expect("`unshare`, of util-linux, can be started");
        let mut line = String::new();
        let output = holder.stdout.take().expect("piped");
        BufReader::new(output).read_line(&mut line).expect("its output can be read");
        assert_eq!(line, "made\n", "a network namespace can be made only by root");
        Self { holder }
    }

    /// A command that runs another one in here. It replaces itself with that one.
    pub(crate) fn enter(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/proc/{}/ns/net", self.holder.id())).arg(program);
        command
    }

    fn ip(&self, arguments: &str) {
        let done = self.enter("ip").args(arguments.split(' ')).output();
        let done = done.expect("`nsenter`, of util-linux, can be started");
        assert!(done.status.success(), "ip {arguments}: {done:?}");
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        kill_and_wait(&mut self.holder);
    }
}

/// Carries connections from a loopback port to a Unix socket.
#[derive(Debug)]
pub(crate) struct Relay {
    port: u16,
    ended: Arc<AtomicBool>,
}

impl Relay {
    /// From this port to the socket of this name in this folder.
    pub(crate) fn start(port: u16, folder: PathBuf, socket: &'static str) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", port))?;
        let ended = Arc::new(AtomicBool::new(false));
        let told = ended.clone();
        thread::spawn(move || {
            for client in listener.incoming() {
                if told.load(Ordering::Acquire) {
                    return;
                }
                // A server that does not run is one that closes at once.
                let Ok(client) = client else { continue };
                let Ok(server) = connect(&folder, socket) else { continue };
                carry(client, server).ok();
            }
        });
        Ok(Self { port, ended })
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Release);
        // Wakes the thread.
        TcpStream::connect(("127.0.0.1", self.port)).ok();
    }
}

/// The path of a socket must be short, so it begins at the folder's descriptor.
fn connect(folder: &Path, socket: &str) -> io::Result<UnixStream> {
    let folder = File::open(folder)?;
    UnixStream::connect(format!("/proc/self/fd/{}/{socket}", folder.as_raw_fd()))
}

/// One thread for each direction, until one of both sides ends.
fn carry(client: TcpStream, server: UnixStream) -> io::Result<()> {
    client.set_nodelay(true)?;
    let (mut from_client, mut to_server) = (client.try_clone()?, server.try_clone()?);
    let (mut from_server, mut to_client) = (server, client);
    thread::spawn(move || {
        io::copy(&mut from_client, &mut to_server).ok();
        to_server.shutdown(Shutdown::Both).ok();
    });
    thread::spawn(move || {
        io::copy(&mut from_server, &mut to_client).ok();
        to_client.shutdown(Shutdown::Both).ok();
    });
    Ok(())
}
