//! The reading half of a connection: tells whether something was heard of the client, and stops when
//! the client sends too many frames that are no calls.

use super::frame_watch::FrameWatch;
use super::outgoing::SentBytes;
use std::io::Result;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, ReadBuf};

/// What the reader has seen of a client. The task of the connection looks at it.
#[derive(Default)]
pub(super) struct Signs {
    heard: AtomicBool,
    received: AtomicU64,
    flooding: AtomicBool,
}

impl Signs {
    /// Whether the client has sent anything since this was last asked.
    pub fn was_heard(&self) -> bool {
        self.heard.swap(false, Ordering::Relaxed)
    }

    /// How many bytes the client has sent in requests.
    #[inline]
    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Notes how many there are.
    #[inline]
    pub fn note_received(&self, bytes: u64) {
        self.received.store(bytes, Ordering::Relaxed);
    }

    /// Whether the client sends so many frames that are no calls that its connection should end.
    #[inline]
    pub fn is_flooding(&self) -> bool {
        self.flooding.load(Ordering::Relaxed)
    }
}

/// Reads what the client sends. The bytes with which a flood is found, and all that follow, are not
/// handed on.
pub(super) struct WatchedReader<'a, R, S> {
    reader: R,
    watch: FrameWatch,
    signs: &'a Signs,
    sent: S,
}

impl<'a, R, S: SentBytes> WatchedReader<'a, R, S> {
    /// The first bytes, so many, are no frame. `sent` tells how much the client has been sent.
    pub fn new(reader: R, preface: usize, signs: &'a Signs, sent: S) -> Self {
        Self { reader, watch: FrameWatch::new(preface), signs, sent }
    }
}

impl<R: AsyncRead + Unpin, S: SentBytes + Unpin> AsyncRead for WatchedReader<'_, R, S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        let Self { reader, watch, signs, sent } = self.get_mut();
        if signs.is_flooding() {
            // The task that polls this ends the connection now.
            return Poll::Pending;
        }
        if watch.turn_is_over() {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        let read = Pin::new(reader).poll_read(context, buffer);
        if read.is_pending() {
            watch.pause();
        }
        ready!(read)?;
        signs.heard.store(true, Ordering::Relaxed);
        if watch.see(&buffer.filled()[before..], || sent.sent()) {
            signs.note_received(watch.data());
            return Poll::Ready(Ok(()));
        }
        buffer.set_filled(before);
        signs.flooding.store(true, Ordering::Relaxed);
        Poll::Pending
    }
}
