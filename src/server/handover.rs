//! Handover: a new process takes the listening sockets over from the old one, and no connection is
//! refused meanwhile.
//!
//! ```text
//! new                                   old
//!  │ connects to the Unix socket         │ checks the user
//!  │ ◄───────── HELLO, the sockets ──────│
//!  │ reaches the databases, warms up     │ serves as ever
//!  │ ───────── GO ─────────────────────► │ stops accepting, GOAWAY, drains, exits
//!  │ accepts, and offers the sockets     │
//! ```
//!
//! An old process that is stopping gives its sockets away as long as it accepts. After that it says
//! ENDING to each new process, which then waits for it and binds sockets of its own.
//!
//! The new process accepts nothing before it says GO. So if it dies before, nothing has happened.
//! Both hold the same sockets: connections that wait to be accepted are not lost when the old
//! process ends. (With `SO_REUSEPORT` each would have a queue of its own, which is lost with it.)

use super::sockets::Sockets;
use crate::hooks;
use rustix::fs::{Mode, fchmod};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketType, recvmsg, sendmsg,
};
use std::fs;
use std::io::{self, ErrorKind, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

/// The first byte of the old process, with the sockets. It is the version of the protocol, too.
const HELLO: u8 = 1;
/// The old process is handing over to another one.
const BUSY: u8 = b'b';
/// The old process is stopping, and has closed its gRPC socket.
const ENDING: u8 = b'e';
/// The new process is ready.
const GO: u8 = b'g';

/// How long the old process may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// How many processes may wait to be told that the old one is busy, or for its end.
const QUEUE: i32 = 8;

/// Why a handover failed. Each message is one sentence for the operator.
#[derive(Debug, thiserror::Error)]
pub enum HandoverFault {
    #[error("{0:?} is no socket: name another path for --handover")]
    NoSocket(PathBuf),
    #[error("cannot take over by {0:?}: {1}")]
    Failed(PathBuf, io::Error),
    #[error("cannot take over by {0:?}: another process is doing so; try again when it is done")]
    Busy(PathBuf),
    #[error(
        "cannot take over by {0:?}: the process there runs as another user; name a path in a \
         folder that only aka can write to"
    )]
    Stranger(PathBuf),
    #[error("cannot take over by {0:?}: the process there speaks another protocol")]
    Protocol(PathBuf),
    #[error("cannot offer a handover at {0:?}: {1}")]
    Offer(PathBuf, io::Error),
}

/// Whom a new process finds at the path of a handover.
pub(super) enum OldProcess {
    Nobody,
    /// It gives its sockets away.
    Offers(Predecessor, Sockets),
    /// It is stopping. The stream closes when it has ended.
    Ends(UnixStream),
}

/// The old process, seen from the new one.
pub(super) struct Predecessor(UnixStream);

impl OldProcess {
    /// Asks the process at this path for its sockets.
    pub async fn find(path: &Path) -> Result<Self, HandoverFault> {
        match fs::metadata(path) {
            Ok(found) if !found.file_type().is_socket() => {
                return Err(HandoverFault::NoSocket(path.to_owned()));
            }
            _ => {}
        }
        let failed = |error| HandoverFault::Failed(path.to_owned(), error);
        let stream = match UnixStream::connect(path).await {
            Ok(stream) => stream,
            // Refused: a process that was killed has left its socket behind.
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) =>
            {
                return Ok(Self::Nobody);
            }
            Err(error) => return Err(failed(error)),
        };
        if !is_trusted(stream.peer_cred().map_err(failed)?.uid()) {
            return Err(HandoverFault::Stranger(path.to_owned()));
        }
        hooks::crash("handover-asked");
        let received = tokio::time::timeout(ANSWER_TIMEOUT, receive(&stream)).await;
        let received = received.unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()));
        match received.map_err(failed)? {
            (Some(HELLO), [Some(grpc), Some(metrics)]) => {
                hooks::crash("handover-received");
                Ok(Self::Offers(Predecessor(stream), Sockets { grpc, metrics }))
            }
            (Some(ENDING), _) => Ok(Self::Ends(stream)),
            (Some(BUSY), _) => Err(HandoverFault::Busy(path.to_owned())),
            // It refused this user, or ended meanwhile.
            (None, _) => Err(failed(ErrorKind::UnexpectedEof.into())),
            _ => Err(HandoverFault::Protocol(path.to_owned())),
        }
    }
}

impl Predecessor {
    /// Tells it to stop accepting. If it has ended already, there is nobody to be told.
    pub async fn go(mut self) {
        if let Err(error) = self.0.write_all(&[GO]).await {
            tracing::info!(%error, "the old process has ended before the handover");
        }
    }
}

/// The first byte and the sockets that come with it. `None`: the other side has closed.
async fn receive(stream: &UnixStream) -> io::Result<(Option<u8>, [Option<TcpListener>; 2])> {
    stream
        .async_io(Interest::READABLE, || {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let mut byte = [0];
            let mut parts = [IoSliceMut::new(&mut byte)];
            let flags = RecvFlags::CMSG_CLOEXEC;
            let read = recvmsg(stream, &mut parts, &mut control, flags)?.bytes;
            let passed = control.drain().filter_map(|message| match message {
                RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
                _ => None,
            });
            let mut sockets = passed.flatten().map(TcpListener::from);
            Ok(((read > 0).then_some(byte[0]), [sockets.next(), sockets.next()]))
        })
        .await
}

/// An offer that is ready to be made. All that may fail is done.
pub(super) struct PreparedOffer {
    path: PathBuf,
    temporary: PathBuf,
    listener: UnixListener,
    file: (u64, u64),
    sockets: Sockets,
}

impl PreparedOffer {
    /// Prepares the offer of these sockets at this path.
    pub fn new(path: &Path, sockets: Sockets) -> Result<Self, HandoverFault> {
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(format!(".{:08x}", rand::random::<u32>()));
        let temporary = PathBuf::from(temporary);
        let made = bind(&temporary).and_then(|listener| {
            let found = fs::symlink_metadata(&temporary)?;
            Ok((listener, (found.dev(), found.ino())))
        });
        match made {
            Ok((listener, file)) => {
                Ok(Self { path: path.to_owned(), temporary, listener, file, sockets })
            }
            Err(error) => {
                let _ = fs::remove_file(&temporary);
                Err(HandoverFault::Offer(path.to_owned(), error))
            }
        }
    }

    /// Makes the offer, in place of a socket that is there. It takes the path over from another
    /// process at one moment.
    pub fn make(self) -> Result<Offer, HandoverFault> {
        let Self { path, temporary, listener, file, sockets } = self;
        if let Err(error) = fs::rename(&temporary, &path) {
            let _ = fs::remove_file(&temporary);
            return Err(HandoverFault::Offer(path, error));
        }
        let (taken, ending) = (CancellationToken::new(), CancellationToken::new());
        let task = tokio::spawn(answer(listener, sockets, taken.clone(), ending.clone()));
        let (task, of_place) = (AbortOnDropHandle::new(task), taken.clone());
        let place = OfferedAt { path, file, taken: of_place, _task: task };
        Ok(Offer { taken, ending, _place: Some(place) })
    }
}

/// The offer of the listening sockets to a new process. It should be kept until this process ends:
/// dropping it takes it back.
pub(super) struct Offer {
    taken: CancellationToken,
    ending: CancellationToken,
    /// `None`: nobody can take it.
    _place: Option<OfferedAt>,
}

/// Where an offer is made.
struct OfferedAt {
    path: PathBuf,
    /// Which file is this offer's: a later process may have put its own there.
    file: (u64, u64),
    taken: CancellationToken,
    _task: AbortOnDropHandle<()>,
}

impl Offer {
    /// No offer.
    pub fn none() -> Self {
        Self { taken: CancellationToken::new(), ending: CancellationToken::new(), _place: None }
    }

    /// Takes the sockets back. New processes are told to wait until this one has ended. One that
    /// has the sockets already keeps them.
    pub fn end(&self) {
        self.ending.cancel();
    }

    /// Returns when a new process has said that it is ready.
    pub async fn taken(&self) {
        self.taken.cancelled().await;
    }
}

impl Drop for OfferedAt {
    fn drop(&mut self) {
        if self.taken.is_cancelled() {
            // The new process puts its own file there at about this time. Between a look at the
            // file and its removal it would be the new one that is removed.
            return;
        }
        let found = fs::symlink_metadata(&self.path);
        if found.is_ok_and(|found| (found.dev(), found.ino()) == self.file) {
            // It may be gone. A file that is left behind does no harm.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Binds a Unix socket that only this user may connect to.
fn bind(path: &Path) -> io::Result<UnixListener> {
    let socket = rustix::net::socket(AddressFamily::UNIX, SocketType::STREAM, None)?;
    // The file that bind makes gets this mode, less the umask. So it is never open to others.
    fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
    rustix::net::listen(&socket, QUEUE)?;
    let listener = std::os::unix::net::UnixListener::from(socket);
    listener.set_nonblocking(true)?;
    UnixListener::from_std(listener)
}

/// Answers those that connect, one at a time. Once one has taken over, the others are told to wait
/// until this process has ended. Once this process is `ending`, all are.
async fn answer(
    listener: UnixListener,
    sockets: Sockets,
    taken: CancellationToken,
    ending: CancellationToken,
) {
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener) => accepted,
            () = ending.cancelled() => {
                drop(sockets);
                return say_ending(&listener).await;
            }
        };
        let Some(successor) = accepted else { continue };
        // However long the new process takes to get ready, it is waited for until it ends. If it
        // were given up, it would not know, and both would accept.
        let done = tokio::select! {
            done = hand_over(successor, &sockets) => done,
            () = refuse(&listener) => return,
            // It has the sockets, and goes on without this process.
            () = ending.cancelled() => Ok(true),
        };
        match done {
            Ok(true) => {
                taken.cancel();
                // Connections are the new process's now. If it dies, they are refused.
                drop(sockets);
                return refuse(&listener).await;
            }
            Ok(false) => tracing::warn!("the new process has ended before it was ready"),
            Err(error) => tracing::warn!(%error, "the new process cannot take over"),
        }
    }
}

/// Tells all that connect that this process is ending. It does not end itself, so their streams
/// close with this process.
async fn say_ending(listener: &UnixListener) {
    let mut waiting = Vec::new();
    loop {
        if let Some(other) = accept(listener).await
            && waiting.len() < QUEUE as usize
            && other.try_write(&[ENDING]).is_ok()
        {
            waiting.push(other);
        }
    }
}

/// Tells all that connect that another process is taking over. It does not end.
async fn refuse(listener: &UnixListener) {
    loop {
        if let Some(mut other) = accept(listener).await {
            let _ = other.try_write(&[BUSY]);
            let _ = other.shutdown().await;
        }
    }
}

/// Whether a process of this user may hand over or take over: it is this process's own user, or
/// root.
fn is_trusted(user: u32) -> bool {
    user == 0 || user == rustix::process::geteuid().as_raw()
}

/// The next one that may take over.
async fn accept(listener: &UnixListener) -> Option<UnixStream> {
    let accepted = listener.accept().await.and_then(|(stream, _)| {
        let peer = stream.peer_cred()?.uid();
        Ok((stream, peer))
    });
    match accepted {
        Ok((stream, peer)) if is_trusted(peer) => Some(stream),
        Ok((_, peer)) => {
            tracing::warn!(user = peer, "a process of another user may not take over");
            None
        }
        Err(error) => {
            tracing::warn!(%error, "cannot answer a process that would take over");
            // Without a pause this loop would use up the CPU.
            tokio::time::sleep(Duration::from_millis(100)).await;
            None
        }
    }
}

/// Sends the sockets, and waits until the new process is ready. False: it has ended.
async fn hand_over(mut successor: UnixStream, sockets: &Sockets) -> io::Result<bool> {
    tracing::info!("a new process is about to take over");
    let descriptors = [sockets.grpc.as_fd(), sockets.metrics.as_fd()];
    successor
        .async_io(Interest::WRITABLE, || {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            if !control.push(SendAncillaryMessage::ScmRights(&descriptors)) {
                return Err(Errno::NOBUFS.into());
            }
            let sent =
                sendmsg(&successor, &[IoSlice::new(&[HELLO])], &mut control, SendFlags::NOSIGNAL);
            Ok(sent?)
        })
        .await?;
    let mut answer = [0];
    match successor.read(&mut answer).await? {
        0 => Ok(false),
        _ if answer == [GO] => Ok(true),
        _ => Err(ErrorKind::InvalidData.into()),
    }
}
