//! One write for everything that a connection has ready to send.
//!
//! h2 writes a message of 256 bytes or more to the socket before it looks at the next frame, which
//! mostly is the end of the call. Each batch would cost two writes, two packets and two wake-ups of
//! the client. Here a write waits until the connection has nothing more to send.

use crate::rpc::Backlog;
use bytes::{Buf, BytesMut};
use parking_lot::Mutex;
use std::future::poll_fn;
use std::io::{Error, ErrorKind, IoSlice, Result};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::AsyncWrite;

/// The most bytes that are gathered before a write: the same limit as h2's own buffer for small
/// frames.
const MOST: usize = 16 << 10;

/// The writing half of a connection, shared by h2 and the task that runs the connection.
pub(super) struct Outgoing<W>(Arc<Mutex<Unsent<W>>>);

/// Tells how many bytes a client has been sent.
pub(super) trait SentBytes {
    /// All bytes so far.
    fn sent(&self) -> u64;
}

struct Unsent<W> {
    socket: W,
    bytes: BytesMut,
    /// All bytes that the socket has taken.
    sent: u64,
    /// Whether the socket may hold bytes of its own: TLS keeps what it has encrypted while the
    /// client does not read.
    unflushed: bool,
    /// Told whenever the socket is full, and when it is not any more.
    backlog: Backlog,
}

impl<W: AsyncWrite + Unpin> Unsent<W> {
    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<Result<()>> {
        let sent = self.poll_socket(context);
        self.backlog.set(sent.is_pending());
        sent
    }

    fn poll_socket(&mut self, context: &mut Context<'_>) -> Poll<Result<()>> {
        while !self.bytes.is_empty() {
            self.unflushed = true;
            match ready!(Pin::new(&mut self.socket).poll_write(context, &self.bytes))? {
                0 => return Poll::Ready(Err(Error::from(ErrorKind::WriteZero))),
                sent => {
                    self.sent += sent as u64;
                    self.bytes.advance(sent);
                }
            }
        }
        if self.unflushed {
            ready!(Pin::new(&mut self.socket).poll_flush(context))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Gathers as many of the bytes as there is room for, and returns their number.
    fn take(&mut self, bytes: &[u8]) -> usize {
        let taken = bytes.len().min(MOST.saturating_sub(self.bytes.len()));
        self.bytes.extend_from_slice(&bytes[..taken]);
        taken
    }
}

impl<W: AsyncWrite + Unpin> Outgoing<W> {
    /// The writing half of the connection on this socket.
    pub fn new(socket: W, backlog: Backlog) -> Self {
        let bytes = BytesMut::new();
        let unsent = Unsent { socket, bytes, sent: 0, unflushed: false, backlog };
        Self(Arc::new(Mutex::new(unsent)))
    }

    /// Whether bytes wait here because the client does not read.
    pub fn is_stuck(&self) -> bool {
        let unsent = self.0.lock();
        !unsent.bytes.is_empty() || unsent.unflushed
    }

    /// Another handle of the same half.
    pub fn share(&self) -> Self {
        Self(self.0.clone())
    }

    /// Runs the connection that writes here. Whenever the connection waits, the gathered bytes are
    /// sent.
    ///
    /// # Errors
    /// If the socket fails.
    pub async fn send_for<T>(
        &self,
        mut connection: Pin<&mut impl Future<Output = T>>,
    ) -> Result<T> {
        poll_fn(|context| {
            let ended = connection.as_mut().poll(context);
            // If the socket is full, it wakes this task once it has room.
            if let Poll::Ready(Err(error)) = self.0.lock().poll_send(context) {
                return Poll::Ready(Err(error));
            }
            ended.map(Ok)
        })
        .await
    }
}

impl<W> SentBytes for Outgoing<W> {
    fn sent(&self) -> u64 {
        self.0.lock().sent
    }
}

impl<W: AsyncWrite + Unpin> AsyncWrite for Outgoing<W> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        let mut unsent = self.0.lock();
        if unsent.bytes.len() >= MOST {
            ready!(unsent.poll_send(context))?;
        }
        Poll::Ready(Ok(slices.iter().map(|slice| unsent.take(slice)).sum()))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Does nothing, because h2 flushes after every message. See [`send_for`](Self::send_for).
    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        let mut unsent = self.0.lock();
        ready!(unsent.poll_send(context))?;
        Pin::new(&mut unsent.socket).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;
    use std::time::Duration;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, BufWriter, duplex};

    /// Counts the writes to the writer that it wraps.
    struct Counting<W>(W, usize);

    impl<W: AsyncWrite + Unpin> AsyncWrite for Counting<W> {
        fn poll_write(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<Result<usize>> {
            self.1 += 1;
            Pin::new(&mut self.0).poll_write(context, bytes)
        }

        fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
            Pin::new(&mut self.0).poll_flush(context)
        }

        fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
            Pin::new(&mut self.0).poll_shutdown(context)
        }
    }

    #[tokio::test]
    async fn bytes_that_are_ready_together_are_one_write() {
        let (ours, mut theirs) = duplex(1 << 20);
        let outgoing = Outgoing::new(Counting(ours, 0), Backlog::default());
        let mut writer = outgoing.share();
        let mut connection = pin!(async {
            for word in [&b"head"[..], b"body", b"end"] {
                writer.write_all(word).await?;
                writer.flush().await?;
            }
            // The connection waits for the client, which has received everything by then.
            let mut received = [0; 11];
            theirs.read_exact(&mut received).await?;
            Ok::<_, Error>(received)
        });
        let received = outgoing.send_for(connection.as_mut()).await.expect("sent").expect("read");
        assert_eq!(&received, b"headbodyend");
        assert_eq!(outgoing.0.lock().socket.1, 1);
    }

    #[tokio::test]
    async fn a_client_that_reads_slowly_gets_everything_and_the_buffer_stays_small() {
        let (ours, mut theirs) = duplex(100);
        let outgoing = Outgoing::new(ours, Backlog::default());
        let mut writer = outgoing.share();
        let sent: Vec<u8> = (0..3 * MOST).map(|n| (n % 251) as u8).collect();
        let mut connection = pin!(async {
            writer.write_all(&sent).await?;
            writer.shutdown().await
        });
        let mut read = Vec::new();
        let reading = async {
            let mut part = [0; 77];
            loop {
                match theirs.read(&mut part).await.expect("read") {
                    0 => break,
                    count => read.extend_from_slice(&part[..count]),
                }
                assert!(outgoing.0.lock().bytes.len() <= MOST);
            }
        };
        let (ended, ()) = tokio::join!(outgoing.send_for(connection.as_mut()), reading);
        ended.expect("sent").expect("shut down");
        assert!(read == sent);
    }

    /// TLS keeps what the socket did not take at once.
    #[tokio::test(start_paused = true)]
    async fn a_writer_with_a_buffer_of_its_own_is_flushed() {
        let (ours, mut theirs) = duplex(1 << 10);
        let outgoing = Outgoing::new(BufWriter::new(ours), Backlog::default());
        let mut writer = outgoing.share();
        let mut connection = pin!(async {
            writer.write_all(b"hello").await?;
            let mut received = [0; 5];
            theirs.read_exact(&mut received).await?;
            Ok::<_, Error>(received)
        });
        let sending = outgoing.send_for(connection.as_mut());
        let sent = tokio::time::timeout(Duration::from_secs(1), sending).await;
        let received = sent.expect("it is sent at once").expect("sent").expect("read");
        assert_eq!(&received, b"hello");
    }

    #[tokio::test]
    async fn a_client_that_has_left_ends_the_connection() {
        let (ours, theirs) = duplex(100);
        drop(theirs);
        let outgoing = Outgoing::new(ours, Backlog::default());
        let mut writer = outgoing.share();
        let mut connection = pin!(async {
            writer.write_all(b"hello").await.expect("taken");
            std::future::pending::<()>().await;
        });
        assert!(outgoing.send_for(connection.as_mut()).await.is_err());
    }
}
