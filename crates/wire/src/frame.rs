//! gRPC's framing: a flag byte, a length of four bytes, then the message (`Length-Prefixed-Message` of
//! "gRPC over HTTP2").

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// The flag and the length that stand before every message, in bytes.
pub const PREFIX: usize = 5;

/// Frames a message. `length`: how many bytes `encode` writes, at most.
pub fn framed(length: usize, encode: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    let mut framed = Vec::with_capacity(PREFIX + length);
    framed.put_bytes(0, PREFIX);
    encode(&mut framed);
    let length = (framed.len() - PREFIX) as u32;
    framed[1..PREFIX].copy_from_slice(&length.to_be_bytes());
    framed.into()
}

/// Why bytes are no frame that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameFault {
    #[error("the message is compressed")]
    Compressed,
    #[error("the message is longer than {0} bytes")]
    TooLong(usize),
    #[error("the message is cut short")]
    CutShort,
}

/// Cuts what a peer sends into messages. It keeps at most one message and one chunk.
#[derive(Debug)]
pub struct Frames {
    longest: usize,
    /// What came and was not yet read. A message that came whole is not copied.
    chunk: Bytes,
    /// What came of a message that comes in several chunks; then `chunk` is empty.
    parts: BytesMut,
}

impl Frames {
    /// `longest`: how many bytes a message may have.
    pub fn new(longest: usize) -> Self {
        Self { longest, chunk: Bytes::new(), parts: BytesMut::new() }
    }

    /// Takes the next bytes of the peer. To be called when [`next`](Self::next) has none left.
    pub fn push(&mut self, chunk: Bytes) {
        if self.chunk.is_empty() && self.parts.is_empty() {
            self.chunk = chunk;
        } else {
            self.parts.extend_from_slice(&std::mem::take(&mut self.chunk));
            self.parts.extend_from_slice(&chunk);
        }
    }

    /// The next message, if all of it has come.
    ///
    /// # Errors
    /// If it is compressed, or longer than is allowed: that is known from its prefix, before it is kept.
    pub fn next_message(&mut self) -> Result<Option<Bytes>, FrameFault> {
        let unread = if self.parts.is_empty() { &self.chunk[..] } else { &self.parts[..] };
        let Some((&[flag, ref length @ ..], message)) = unread.split_first_chunk::<PREFIX>() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes(*length) as usize;
        if flag != 0 {
            return Err(FrameFault::Compressed);
        }
        if length > self.longest {
            return Err(FrameFault::TooLong(self.longest));
        }
        if message.len() < length {
            return Ok(None);
        }
        Ok(Some(if self.parts.is_empty() {
            self.chunk.advance(PREFIX);
            self.chunk.split_to(length)
        } else {
            self.parts.advance(PREFIX);
            self.parts.split_to(length).freeze()
        }))
    }

    /// The peer has sent all that it will.
    ///
    /// # Errors
    /// If that was in the middle of a message.
    pub fn end(&self) -> Result<(), FrameFault> {
        match self.chunk.is_empty() && self.parts.is_empty() {
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
    fn messages_are_cut_where_they_end_wherever_the_chunks_do() {
        let sent = [&b"one"[..], b"", b"a longer one", &[7; 300]];
        let wire = sent.map(frame).concat();
        for cut in 0..wire.len() {
            let (before, after) = wire.split_at(cut);
            let (between, after) = after.split_at(after.len().min(20));
            let (mut frames, mut read) = (Frames::new(300), Vec::new());
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
    fn what_is_no_message_is_said_to_be_none() {
        let next = |bytes: &'static [u8]| {
            let mut frames = Frames::new(9);
            frames.push(Bytes::from_static(bytes));
            (frames.next_message(), frames.end())
        };
        assert_eq!(next(b"\x01\0\0\0\0").0, Err(FrameFault::Compressed));
        // Nothing is kept free for what a length only claims.
        assert_eq!(next(b"\0\xff\xff\xff\xff").0, Err(FrameFault::TooLong(9)));
        assert_eq!(next(b"\0"), (Ok(None), Err(FrameFault::CutShort)));
        assert_eq!(next(b"\0\0\0\0\x02a"), (Ok(None), Err(FrameFault::CutShort)));
    }
}
