//! gRPC over bare HTTP/2, as little of it as a load generator needs.
//!
//! The generated client puts a queue, a task and some allocations between a call and the connection.
//! The generator runs on the machine that it measures, often on the cores of the server: what it
//! costs less, the server has more.

use bytes::{Buf, Bytes, BytesMut};
use h2::client::{ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use http::{HeaderMap, HeaderValue, Method, Request, header};
use std::cell::RefCell;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use tonic::{Code, Status};

/// How long a connection may take to be there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Before a connection that could not be made is tried again.
const RECONNECT_PAUSE: Duration = Duration::from_millis(100);

const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 16 << 20;

/// A flag byte and a length come before every message.
pub(super) const PREFIX: usize = 5;

/// The longest answer that is read; a batch of 10,000 of the run's ids needs a fifth of it.
const MAX_ANSWER: usize = 4 << 20;

/// Why a call has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Failed(pub Code);

impl From<h2::Error> for Failed {
    fn from(_: h2::Error) -> Self {
        Self(Code::Unavailable)
    }
}

/// Where to connect to, and what every call says.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub address: SocketAddr,
    /// `http://host:port`.
    pub url: String,
    pub timeout_ms: u64,
}

impl Target {
    /// The head of a call, to be cloned for each.
    pub fn head(&self, path: &str) -> Result<Request<()>, http::Error> {
        Request::builder()
            .method(Method::POST)
            .uri(format!("{}{path}", self.url))
            .header(header::TE, HeaderValue::from_static("trailers"))
            .header(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"))
            .header(header::USER_AGENT, concat!("aka-bench/", env!("CARGO_PKG_VERSION")))
            .header("grpc-timeout", grpc_timeout(self.timeout_ms))
            .body(())
    }

    async fn connect(&self) -> Result<SendRequest<Bytes>, Failed> {
        let connect = async {
            let stream = TcpStream::connect(self.address).await.map_err(|_| Code::Unavailable)?;
            // Requests are small and waited for.
            stream.set_nodelay(true).map_err(|_| Code::Unavailable)?;
            let handshake = h2::client::Builder::new()
                .enable_push(false)
                .initial_window_size(STREAM_WINDOW)
                .initial_connection_window_size(CONNECTION_WINDOW)
                .handshake(stream);
            handshake.await.map_err(|_| Code::Unavailable)
        };
        let connected = tokio::time::timeout(CONNECT_TIMEOUT, connect).await;
        let (sender, connection) =
            connected.map_err(|_| Failed(Code::Unavailable))?.map_err(Failed)?;
        tokio::task::spawn_local(async move {
            // Those who wait for answers are told by it.
            let _ = connection.await;
        });
        Ok(sender)
    }
}

/// At most eight digits: from 100 million milliseconds on in seconds.
fn grpc_timeout(timeout_ms: u64) -> String {
    match timeout_ms {
        0..100_000_000 => format!("{timeout_ms}m"),
        _ => format!("{}S", timeout_ms / 1_000),
    }
}

/// A connection that is made anew when it has broken.
pub(super) struct Link {
    target: Target,
    sender: RefCell<SendRequest<Bytes>>,
    /// Held while the connection is made anew: once for all who need it.
    mending: tokio::sync::Mutex<()>,
}

impl Link {
    pub async fn connect(target: Target) -> Result<Self, Failed> {
        let sender = RefCell::new(target.connect().await?);
        Ok(Self { target, sender, mending: tokio::sync::Mutex::default() })
    }

    /// Room for one more stream; on a connection that was closed in order, as by a server that
    /// stops, after a new one is made.
    async fn ready(&self) -> Result<SendRequest<Bytes>, Failed> {
        let sender = self.sender.borrow().clone();
        if let Ok(ready) = sender.ready().await {
            return Ok(ready);
        }
        let mending = self.mending.lock().await;
        let sender = self.sender.borrow().clone();
        let mended = match sender.ready().await {
            Ok(ready) => Ok(ready),
            Err(_) => self.target.connect().await,
        };
        match &mended {
            Ok(sender) => *self.sender.borrow_mut() = sender.clone(),
            // With the lock held: one attempt at a time, not one of every caller.
            Err(_) => tokio::time::sleep(RECONNECT_PAUSE).await,
        }
        drop(mending);
        mended
    }

    /// One message there, one back.
    pub async fn unary(&self, head: &Request<()>, frame: Bytes) -> Result<Bytes, Failed> {
        let mut sender = self.ready().await?;
        let (response, mut stream) = sender.send_request(head.clone(), false)?;
        drop(sender);
        stream.send_data(frame, true)?;
        let mut answers = Answers::new(response);
        let message = answers.message().await?.ok_or(Failed(Code::Internal))?;
        // The status comes after the answer.
        match answers.message().await? {
            None => Ok(message),
            Some(_) => Err(Failed(Code::Internal)),
        }
    }

    pub async fn stream(&self, head: &Request<()>) -> Result<Dialogue, Failed> {
        let mut sender = self.ready().await?;
        let (response, requests) = sender.send_request(head.clone(), false)?;
        Ok(Dialogue { requests, answers: Answers::new(response) })
    }
}

/// A call with many messages each way.
pub(super) struct Dialogue {
    requests: SendStream<Bytes>,
    answers: Answers,
}

impl Dialogue {
    /// After an error the dialogue is over.
    pub async fn ask(&mut self, frame: Bytes) -> Result<Bytes, Failed> {
        self.requests.send_data(frame, false)?;
        self.answers.message().await?.ok_or(Failed(Code::Internal))
    }

    /// Ends in order: the server counts a stream that is dropped as cancelled.
    pub async fn end(mut self) -> Result<(), Failed> {
        self.requests.send_data(Bytes::new(), true)?;
        self.answers.message().await.map(drop)
    }
}

/// The messages of an answer as they come.
struct Answers {
    response: Option<ResponseFuture>,
    body: Option<RecvStream>,
    unread: BytesMut,
}

impl Answers {
    fn new(response: ResponseFuture) -> Self {
        Self { response: Some(response), body: None, unread: BytesMut::new() }
    }

    /// The next message; none if the call ended with OK.
    async fn message(&mut self) -> Result<Option<Bytes>, Failed> {
        if let Some(response) = self.response.take() {
            let (head, body) = response.await?.into_parts();
            if !head.status.is_success() {
                return Err(Failed(Code::Unknown));
            }
            if head.headers.contains_key(Status::GRPC_STATUS) {
                return code(&head.headers).map(|()| None);
            }
            self.body = Some(body);
        }
        let Some(body) = &mut self.body else { return Err(Failed(Code::Internal)) };
        loop {
            if let Some(message) = split_message(&mut self.unread)? {
                return Ok(Some(message));
            }
            match body.data().await {
                Some(chunk) => {
                    let mut chunk = chunk?;
                    let _ = body.flow_control().release_capacity(chunk.len());
                    // Nearly always a whole message, which then is not copied.
                    if self.unread.is_empty()
                        && let Some(message) = whole_message(&mut chunk)
                    {
                        return Ok(Some(message));
                    }
                    self.unread.extend_from_slice(&chunk);
                }
                None => {
                    let trailers = body.trailers().await?;
                    return code(&trailers.unwrap_or_default()).map(|()| None);
                }
            }
        }
    }
}

fn code(headers: &HeaderMap) -> Result<(), Failed> {
    let code = headers.get(Status::GRPC_STATUS).map(|code| Code::from_bytes(code.as_bytes()));
    match code.unwrap_or(Code::Internal) {
        Code::Ok => Ok(()),
        code => Err(Failed(code)),
    }
}

/// The length of the message that begins here, if that much is known.
fn length(unread: &[u8]) -> Result<Option<usize>, Failed> {
    let Some(&[flag, a, b, c, d]) = unread.first_chunk() else { return Ok(None) };
    let length = u32::from_be_bytes([a, b, c, d]) as usize;
    // Nothing that is compressed was asked for.
    if flag != 0 || length > MAX_ANSWER { Err(Failed(Code::Internal)) } else { Ok(Some(length)) }
}

fn whole_message(chunk: &mut Bytes) -> Option<Bytes> {
    let length = length(chunk).ok()??;
    (chunk.len() == PREFIX + length).then(|| chunk.split_off(PREFIX))
}

fn split_message(unread: &mut BytesMut) -> Result<Option<Bytes>, Failed> {
    let Some(length) = length(unread)?.filter(|length| unread.len() >= PREFIX + length) else {
        return Ok(None);
    };
    unread.advance(PREFIX);
    Ok(Some(unread.split_to(length).freeze()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_cut_where_they_end() {
        let mut unread = BytesMut::from(&b"\0\0\0\0\x02ab\0\0\0\0\0\0\0\0"[..]);
        assert_eq!(split_message(&mut unread), Ok(Some(Bytes::from_static(b"ab"))));
        assert_eq!(split_message(&mut unread), Ok(Some(Bytes::new())));
        assert_eq!(split_message(&mut unread), Ok(None));
        unread.extend_from_slice(b"\0\x01");
        assert_eq!(split_message(&mut unread), Ok(None));
        unread.extend_from_slice(b"x");
        assert_eq!(split_message(&mut unread), Ok(Some(Bytes::from_static(b"x"))));
        let mut whole = Bytes::from_static(b"\0\0\0\0\x02ab");
        assert_eq!(whole_message(&mut whole), Some(Bytes::from_static(b"ab")));
        let mut compressed = BytesMut::from(&b"\x01\0\0\0\x02ab"[..]);
        assert_eq!(split_message(&mut compressed), Err(Failed(Code::Internal)));
    }

    #[test]
    fn a_timeout_has_at_most_eight_digits() {
        assert_eq!(grpc_timeout(10_000), "10000m");
        assert_eq!(grpc_timeout(100_000_000), "100000S");
    }
}
