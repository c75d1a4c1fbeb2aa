//! Reads a socket, and learns from the kernel when the bytes arrived.

use crate::overload::{Arrivals, ThreadLoad};
use aka_core::clock::Boottime;
use nix::cmsg_space;
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, recvmsg, setsockopt, sockopt::ReceiveTimestampns,
};
use nix::sys::time::TimeSpec;
use std::io::{Error, IoSlice, IoSliceMut, Result};
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;

/// A longer wait is not believed: the clock was set.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// A TCP socket, or its reading half.
pub(super) trait Socket: Unpin {
    fn socket(&self) -> &TcpStream;
}

impl Socket for TcpStream {
    fn socket(&self) -> &TcpStream {
        self
    }
}

impl Socket for OwnedReadHalf {
    fn socket(&self) -> &TcpStream {
        self.as_ref()
    }
}

/// A socket whose reads tell when their bytes arrived. The kernel is asked only while the thread is
/// late: otherwise they have arrived just now.
pub(super) struct TimedReader<S> {
    socket: S,
    arrivals: Arrivals,
    load: Arc<ThreadLoad>,
    /// Room for the time stamp of a read.
    control: Vec<u8>,
}

impl<S: Socket> TimedReader<S> {
    /// To be made on the thread that reads.
    ///
    /// # Errors
    /// If the socket cannot be told to stamp what it receives.
    pub fn new(socket: S, arrivals: Arrivals) -> Result<Self> {
        setsockopt(socket.socket(), ReceiveTimestampns, &true)?;
        let load = ThreadLoad::of_thread();
        Ok(Self { socket, arrivals, load, control: cmsg_space!(TimeSpec) })
    }

    /// Reads what there is. Returns how many bytes, and for how long the last of them have waited.
    fn read(
        socket: &TcpStream,
        buffer: &mut [u8],
        control: &mut [u8],
    ) -> Result<(usize, Duration)> {
        let mut parts = [IoSliceMut::new(buffer)];
        let flags = MsgFlags::empty();
        let received = recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(control), flags);
        let received = received.map_err(Error::from)?;
        let stamp = received.cmsgs()?.find_map(|message| match message {
            ControlMessageOwned::ScmTimestampns(stamp) => Some(Duration::from(stamp)),
            _ => None,
        });
        // The stamp is by the clock that can be set.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let waited = stamp.map_or(Duration::ZERO, |stamp| now.saturating_sub(stamp));
        let waited = if waited > LONGEST_WAIT { Duration::ZERO } else { waited };
        Ok((received.bytes, waited))
    }
}

impl<S: Socket + AsyncRead> AsyncRead for TimedReader<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        let Self { socket, arrivals, load, control } = self.get_mut();
        let now = Boottime::now();
        if !load.is_late(now) {
            ready!(Pin::new(socket).poll_read(context, buffer))?;
            arrivals.read(now);
            return Poll::Ready(Ok(()));
        }
        let socket = socket.socket();
        let room = buffer.initialize_unfilled();
        if room.is_empty() {
            return Poll::Ready(Ok(()));
        }
        loop {
            ready!(socket.poll_read_ready(context))?;
            match socket.try_io(Interest::READABLE, || Self::read(socket, room, control)) {
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
                Ok((read, waited)) => {
                    arrivals.read(now.minus(waited));
                    buffer.advance(read);
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }
}

/// A whole socket is written to as ever. TLS needs both directions in one.
impl AsyncWrite for TimedReader<TcpStream> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<Result<usize>> {
        Pin::new(&mut self.socket).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}
