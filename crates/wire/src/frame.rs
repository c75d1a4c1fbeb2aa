//! gRPC's framing: a flag byte, a length of four bytes, then the message. The specification "gRPC
//! over HTTP2" calls this a `Length-Prefixed-Message`.

use crate::encoding::{Encoding, InflateFault, inflate};
use bytes::{Buf, BufMut, Bytes, BytesMut};

/// The bytes before every message: the flag and the length.
pub const PREFIX: usize = 5;

/// Frames the message that `encode` appends to a buffer. `length` is the room that is reserved for
/// it, in bytes.
pub fn framed(length: usize, encode: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    let mut framed = Vec::with_capacity(PREFIX + length);
    framed.put_bytes(0, PREFIX);
    encode(&mut framed);
    let length = (framed.len() - PREFIX) as u32;
    framed[1..PREFIX].copy_from_slice(&length.to_be_bytes());
    framed.into()
}

/// Why the bytes of a peer cannot be read as messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameFault {
    /// The message is compressed in a way that this side does not read.
    #[error("the message is compressed in a way that is not read")]
    OtherEncoding,
    /// The message is marked as compressed, but its call names no encoding.
    #[error("the message is marked as compressed, but the call names no grpc-encoding")]
    NoEncoding,
    /// The flag is neither 0 nor 1.
    #[error("the message has a flag that is neither 0 nor 1")]
    BadFlag,
    /// The message is not what its encoding says, or is damaged.
    #[error("the compressed message is damaged")]
    Damaged,
    /// The message is longer than this many bytes.
    #[error("the message is longer than {0} bytes")]
    TooLong(usize),
    /// The peer ended in the middle of a message.
    #[error("the message is cut short")]
    CutShort,
}

/// Splits the bytes that a peer sends into messages. It buffers at most one message and one chunk.
#[derive(Debug)]
pub struct Frames {
    longest: usize,
    encoding: Encoding,
    /// Received bytes that are not yet read. A message that lies in one chunk is not copied.
    chunk: Bytes,
    /// The received part of a message that spans several chunks. One of `chunk` and `parts` is
    /// empty.
    parts: BytesMut,
}

impl Frames {
    /// `longest` is the most bytes that a message may have, as it is sent and as it is inflated.
    /// `encoding` is that of the messages that are marked as compressed.
    #[inline]
    pub fn new(longest: usize, encoding: Encoding) -> Self {
        Self { longest, encoding, chunk: Bytes::new(), parts: BytesMut::new() }
    }

    /// Takes the next bytes of the peer. To be called when [`next_message`](Self::next_message) has
    /// returned `None`; otherwise more is buffered than needed.
    #[inline]
    pub fn push(&mut self, chunk: Bytes) {
        if self.chunk.is_empty() && self.parts.is_empty() {
            self.chunk = chunk;
        } else {
            self.parts.extend_from_slice(&std::mem::take(&mut self.chunk));
            self.parts.extend_from_slice(&chunk);
        }
    }

    /// The next message, or `None` if it is not complete yet.
    ///
    /// # Errors
    /// If the message is too long, or is compressed and cannot be inflated. A message whose prefix
    /// shows a fault is never gathered.
    #[inline]
    pub fn next_message(&mut self) -> Result<Option<Bytes>, FrameFault> {
        let unread = if self.parts.is_empty() { &self.chunk[..] } else { &self.parts[..] };
        let Some((&[flag, ref length @ ..], message)) = unread.split_first_chunk::<PREFIX>() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes(*length) as usize;
        if flag != 0 {
            self.check_flag(flag)?;
        }
        if length > self.longest {
            return Err(FrameFault::TooLong(self.longest));
        }
        if message.len() < length {
            return Ok(None);
        }
        let message = if self.parts.is_empty() {
            self.chunk.advance(PREFIX);
            self.chunk.split_to(length)
        } else {
            self.parts.advance(PREFIX);
            self.parts.split_to(length).freeze()
        };
        if flag == 0 { Ok(Some(message)) } else { self.inflate(&message).map(Some) }
    }

    /// Whether a message with this flag, which is not 0, can be read.
    #[cold]
    fn check_flag(&self, flag: u8) -> Result<(), FrameFault> {
        match (flag, self.encoding) {
            (1, Encoding::Gzip) => Ok(()),
            (1, Encoding::Identity) => Err(FrameFault::NoEncoding),
            (1, Encoding::Other) => Err(FrameFault::OtherEncoding),
            _ => Err(FrameFault::BadFlag),
        }
    }

    #[cold]
    fn inflate(&self, message: &[u8]) -> Result<Bytes, FrameFault> {
        inflate(message, self.longest).map_err(|fault| match fault {
            InflateFault::TooLong => FrameFault::TooLong(self.longest),
            InflateFault::Damaged => FrameFault::Damaged,
        })
    }

    /// How many bytes have been received of messages that were not returned yet.
    #[inline]
    pub fn len(&self) -> usize {
        self.chunk.len() + self.parts.len()
    }

    /// Whether all that was received has been returned.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Checks that nothing is left over. To be called when the peer has ended its side.
    ///
    /// # Errors
    /// If the peer ended in the middle of a message.
    #[inline]
    pub fn end(&self) -> Result<(), FrameFault> {
        match self.is_empty() {
            true => Ok(()),
            false => Err(FrameFault::CutShort),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(message: &[u8]) -> Bytes {
        framed(message.len(), |buffer| buffer.extend_from_slice(message))
    }

    #[test]
    fn messages_do_not_depend_on_where_the_chunks_end() {
        let sent = [&b"one"[..], b"", b"a longer one", &[7; 300]];
        let wire = sent.map(frame).concat();
        for cut in 0..wire.len() {
            let (before, after) = wire.split_at(cut);
            let (between, after) = after.split_at(after.len().min(20));
            let (mut frames, mut read) = (Frames::new(300, Encoding::Identity), Vec::new());
            for chunk in [before, between, after] {
                frames.push(Bytes::copy_from_slice(chunk));
                while let Some(message) = frames.next_message().expect("well formed") {
                    read.push(message);
                }
            }
            assert_eq!(read, sent, "{cut}");
            assert_eq!(frames.end(), Ok(()));
        }
    }

    #[test]
    fn a_bad_frame_is_a_fault() {
        let next_in = |encoding, bytes: &'static [u8]| {
            let mut frames = Frames::new(9, encoding);
            frames.push(Bytes::from_static(bytes));
            (frames.next_message(), frames.end())
        };
        let next = |bytes| next_in(Encoding::Identity, bytes);
        assert_eq!(next(b"\x01\0\0\0\0").0, Err(FrameFault::NoEncoding));
        let compressed = |encoding| next_in(encoding, b"\x01\0\0\0\x02no").0;
        assert_eq!(compressed(Encoding::Other), Err(FrameFault::OtherEncoding));
        assert_eq!(compressed(Encoding::Gzip), Err(FrameFault::Damaged));
        for encoding in [Encoding::Identity, Encoding::Gzip, Encoding::Other] {
            assert_eq!(next_in(encoding, b"\x02\0\0\0\0").0, Err(FrameFault::BadFlag));
            assert_eq!(next_in(encoding, b"\0\0\0\0\x01x").0, Ok(Some("x".into())));
        }
        let claimed = next_in(Encoding::Gzip, b"\x01\xff\xff\xff\xff").0;
        assert_eq!(claimed, Err(FrameFault::TooLong(9)));
        // No memory is reserved for a length that is only claimed.
        assert_eq!(next(b"\0\xff\xff\xff\xff").0, Err(FrameFault::TooLong(9)));
        assert_eq!(next(b"\0"), (Ok(None), Err(FrameFault::CutShort)));
        assert_eq!(next(b"\0\0\0\0\x02a"), (Ok(None), Err(FrameFault::CutShort)));
    }
}
