//! From h2 to tonic: the bodies of requests.

use bytes::Bytes;
use h2::RecvStream;
use http_body::{Body, Frame};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// The body of a request, in the form that tonic reads.
pub struct Incoming(pub RecvStream);

impl Body for Incoming {
    type Data = Bytes;
    type Error = h2::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        let Self(body) = &mut *self;
        if let Some(data) = ready!(body.poll_data(context)) {
            let data = data.and_then(|data| {
                body.flow_control().release_capacity(data.len())?;
                Ok(Frame::data(data))
            });
            return Poll::Ready(Some(data));
        }
        let trailers = ready!(body.poll_trailers(context)).transpose();
        Poll::Ready(trailers.map(|trailers| trailers.map(Frame::trailers)))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }
}

/// The body of a request that ends when the server stops, unless more of it has arrived. So a
/// client that keeps a stream open and sends nothing does not delay the stop.
pub struct UntilStopped {
    body: Incoming,
    stopped: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl UntilStopped {
    pub fn new(body: Incoming, stopping: CancellationToken) -> Self {
        Self { body, stopped: Box::pin(stopping.cancelled_owned()) }
    }
}

impl Body for UntilStopped {
    type Data = Bytes;
    type Error = h2::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        if frame.is_pending() && self.stopped.as_mut().poll(context).is_ready() {
            return Poll::Ready(None);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}
