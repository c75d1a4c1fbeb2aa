//! Compressed messages: which encodings are read, and inflating one message.

use bytes::Bytes;
use flate2::bufread::GzDecoder;
use http::{HeaderMap, HeaderName};
use std::io::Read;

/// The value of `grpc-accept-encoding`: the encodings that messages may have.
pub const ACCEPTED_ENCODINGS: &str = "gzip,identity";

static GRPC_ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");

/// The encoding of a call's messages that are marked as compressed: the header `grpc-encoding`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// None. A message that is marked as compressed is a fault.
    Identity,
    Gzip,
    /// An encoding that is not supported.
    Other,
}

impl Encoding {
    /// The encoding that the headers of a call name.
    #[inline]
    pub fn of(headers: &HeaderMap) -> Self {
        match headers.get(&GRPC_ENCODING).map(|encoding| encoding.as_bytes()) {
            None | Some(b"identity") => Self::Identity,
            Some(b"gzip") => Self::Gzip,
            Some(_) => Self::Other,
        }
    }
}

/// Why a message cannot be inflated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InflateFault {
    TooLong,
    Damaged,
}

/// Inflates a message. It stops after `longest` bytes, so a few bytes that stand for very many cost
/// no more than the longest message does.
#[cold]
pub(crate) fn inflate(message: &[u8], longest: usize) -> Result<Bytes, InflateFault> {
    let mut inflated = Vec::new();
    let mut decoder = GzDecoder::new(message);
    let read = (&mut decoder).take(longest as u64 + 1).read_to_end(&mut inflated);
    match read {
        Ok(length) if length > longest => Err(InflateFault::TooLong),
        // All of it was read, and its checksum is right. Nothing may follow.
        Ok(_) if decoder.get_ref().is_empty() => Ok(inflated.into()),
        _ => Err(InflateFault::Damaged),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::read::GzEncoder;

    fn gzip(message: &[u8]) -> Vec<u8> {
        let mut packed = Vec::new();
        GzEncoder::new(message, Compression::default()).read_to_end(&mut packed).expect("packed");
        packed
    }

    #[test]
    fn a_message_is_inflated_up_to_its_limit() {
        for message in [&b""[..], b"bob", &[7; 300]] {
            assert_eq!(inflate(&gzip(message), 300).expect("whole"), message);
        }
        assert_eq!(inflate(&gzip(&[7; 301]), 300), Err(InflateFault::TooLong));
        assert_eq!(inflate(&gzip(&vec![0; 64 << 20]), 300), Err(InflateFault::TooLong));
    }

    #[test]
    fn damage_is_found() {
        let whole = gzip(b"a message that is damaged");
        for cut in 0..whole.len() {
            assert_eq!(inflate(&whole[..cut], 300), Err(InflateFault::Damaged), "cut at {cut}");
        }
        let mut wrong_sum = whole.clone();
        wrong_sum[whole.len() - 8] ^= 1;
        assert_eq!(inflate(&wrong_sum, 300), Err(InflateFault::Damaged));
        assert_eq!(inflate(&[&whole[..], b"x"].concat(), 300), Err(InflateFault::Damaged));
        assert_eq!(inflate(b"", 300), Err(InflateFault::Damaged));
    }

    #[test]
    fn the_header_names_the_encoding() {
        let of = |value: &'static str| {
            Encoding::of(&HeaderMap::from_iter([(
                GRPC_ENCODING.clone(),
                http::HeaderValue::from_static(value),
            )]))
        };
        assert_eq!(Encoding::of(&HeaderMap::new()), Encoding::Identity);
        assert_eq!(of("identity"), Encoding::Identity);
        assert_eq!(of("gzip"), Encoding::Gzip);
        assert_eq!(of("deflate"), Encoding::Other);
    }
}
