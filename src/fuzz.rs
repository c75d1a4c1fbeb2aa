//! What the tests of decoders share: any bytes at all, and bytes that are almost right.
//!
//! A property takes its input from `arbitrary`, so it can be given to a fuzzer as it is.
//! `ARBTEST_BUDGET_MS` makes all of them longer.

use arbtest::arbitrary::{Result, Unstructured};
use arbtest::arbtest;
use std::cell::Cell;
use std::time::Duration;

/// For how long a decoder is tried, unless the environment says otherwise.
const USUAL: Duration = Duration::from_secs(5);

/// The most random bytes of one case.
const LONGEST: u32 = 1 << 9;

/// Tries a property of a decoder with many inputs. A failure prints the seed that replays it.
pub fn always(property: impl Fn(&mut Unstructured<'_>) -> Result<()>) {
    let cases = Cell::new(0_u64);
    let counted = |random: &mut Unstructured<'_>| {
        cases.set(cases.get() + 1);
        property(random)
    };
    let tests = arbtest(counted).size_max(LONGEST);
    match std::env::var_os("ARBTEST_BUDGET_MS") {
        Some(_) => tests.run(),
        None => tests.budget(USUAL).run(),
    }
    assert!(cases.get() > 100, "only {} cases", cases.get());
}

/// The same bytes with some changed, left out or put in; seldom with none.
pub fn spoiled(random: &mut Unstructured<'_>, mut bytes: Vec<u8>) -> Result<Vec<u8>> {
    for _ in 0..random.int_in_range(0..=4)? {
        let at = random.choose_index(bytes.len() + 1)?;
        match random.int_in_range(0..=4)? {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, random.arbitrary()?),
            2 if at < bytes.len() => drop(bytes.remove(at)),
            // A part that comes twice.
            3 => bytes.extend_from_within(at..),
            _ if at < bytes.len() => bytes[at] = random.arbitrary()?,
            _ => {}
        }
    }
    Ok(bytes)
}

/// A text, mostly of printable characters.
pub fn text(random: &mut Unstructured<'_>) -> Result<String> {
    let length = random.int_in_range(0..=40)?;
    (0..length)
        .map(|_| match random.ratio(9, 10)? {
            true => Ok(char::from(random.int_in_range(b' '..=b'~')?)),
            false => random.arbitrary(),
        })
        .collect()
}

mod tests {
    use super::*;
    use crate::auth::{BearerToken, TokenHash};
    use crate::rpc::status::CallFault;
    use aka_core::domain::{ClusterId, Position, ShardId, Token};
    use aka_wire::encoding::Encoding;
    use aka_wire::frame::{FrameFault, Frames, framed};
    use aka_wire::pb;
    use bytes::Bytes;
    use prost::Message;
    use tonic::{Code, Status};

    fn fault(error: impl Into<CallFault>) -> Code {
        Status::from(error.into()).code()
    }

    #[test]
    fn a_resolve_request_is_read_or_malformed() {
        always(|random| {
            let (project_id, distinct_id) = random.arbitrary::<(u64, Vec<u8>)>()?;
            let consistency_token = text(random)?;
            let request = pb::ResolveRequest {
                project_id,
                distinct_id: distinct_id.into(),
                consistency_token,
            };
            let bytes = request.encode_to_vec();
            assert_eq!(pb::ResolveRequest::decode(&bytes[..]).expect("whole"), request);
            if let Err(error) = pb::ResolveRequest::decode(&spoiled(random, bytes)?[..]) {
                assert_eq!(fault(error), Code::InvalidArgument);
            }
            Ok(())
        });
    }

    /// The result is the same wherever the chunks end, and no fault is an error of the server.
    #[test]
    fn frames_are_read_or_refused() {
        const LONGEST: usize = 500;
        let read = |chunks: &[&[u8]], encoding| {
            let mut frames = Frames::new(LONGEST, encoding);
            let mut messages = Vec::new();
            for chunk in chunks {
                frames.push(Bytes::copy_from_slice(chunk));
                while let Some(message) = frames.next_message()? {
                    assert!(message.len() <= LONGEST);
                    messages.push(message);
                }
            }
            frames.end().map(|()| messages)
        };
        always(|random| {
            let mut wire = Vec::new();
            for _ in 0..random.int_in_range(0..=3)? {
                let message: Vec<u8> = random.arbitrary()?;
                wire.extend(framed(message.len(), |buffer| buffer.extend(&message)));
            }
            let wire = spoiled(random, wire)?;
            let encoding =
                *random.choose(&[Encoding::Identity, Encoding::Gzip, Encoding::Other])?;
            let whole = read(&[&wire], encoding);
            if let Err(error) = &whole {
                // The specification of gRPC wants INTERNAL for this one.
                let internal = *error == FrameFault::NoEncoding;
                assert_eq!(fault(*error) == Code::Internal, internal, "{error}");
            }
            let (before, after) = wire.split_at(random.choose_index(wire.len() + 1)?);
            assert_eq!(read(&[before, after], encoding), whole);
            Ok(())
        });
    }

    #[test]
    fn a_consistency_token_is_read_or_refused() {
        always(|random| {
            let cluster = ClusterId(random.int_in_range(0..=2)?);
            let mut token: Option<Token> = None;
            for _ in 0..random.int_in_range(1..=3)? {
                let at = Position { seq: random.arbitrary()?, nonce: random.arbitrary()? };
                let next = Token::new(cluster, ShardId(random.arbitrary()?), at);
                token = Some(token.map_or(next.clone(), |token| token.join(&next)));
            }
            let written = token.as_ref().map(Token::to_string).unwrap_or_default();
            assert_eq!(Token::parse(&written, cluster), Ok(token));
            let spoiled = spoiled(random, written.into_bytes())?;
            let spoiled = String::from_utf8_lossy(&spoiled);
            if let Ok(Some(other)) = Token::parse(&spoiled, cluster) {
                assert_eq!(Token::parse(&other.to_string(), cluster), Ok(Some(other)));
            }
            Ok(())
        });
    }

    #[test]
    fn a_spoiled_bearer_token_is_none() {
        let token = BearerToken::random().expect("random numbers");
        let hash = token.hash();
        always(|random| {
            let bytes = spoiled(random, token.reveal().as_bytes().to_vec())?;
            let same = bytes == token.reveal().as_bytes();
            assert_eq!(TokenHash::of(&bytes) == Some(hash), same);
            let written = spoiled(random, hash.to_string().into_bytes())?;
            if let Some(read) = TokenHash::parse(&String::from_utf8_lossy(&written)) {
                assert!(TokenHash::parse(&read.to_string()) == Some(read));
            }
            Ok(())
        });
    }
}
