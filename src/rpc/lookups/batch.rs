//! The messages of a batch, decoded and encoded by hand.
//!
//! A batch has up to 10,000 ids. prost would make a `Bytes` for each id of the request and for each
//! alias of the answer. Counting the references to each of them costs more than looking the id up.
//! Here a request is one `Bytes` with the positions of the ids in it, and an answer is written from
//! one buffer. The primitives are prost's, and the tests compare both messages with prost's.

use crate::resolve::Aliases;
use crate::rpc::status::CallFault;
use aka_wire::pb;
use bytes::{BufMut, Bytes};
use prost::Message;
use prost::encoding::{
    DecodeContext, WireType, check_wire_type, decode_key, decode_varint, encode_key, encode_varint,
    encoded_len_varint, skip_field, string, uint64,
};

/// A `BatchResolveRequest`.
#[derive(Debug)]
pub struct BatchRequest {
    pub project_id: u64,
    pub ids: Ids,
    pub consistency_token: String,
}

/// The ids of a request, as ranges of its message.
#[derive(Debug)]
pub struct Ids {
    message: Bytes,
    /// Start and length of each id. A message is shorter than 4 GiB.
    ranges: Vec<(u32, u32)>,
}

/// A `BatchResolveResponse`.
#[derive(Debug)]
pub struct BatchAnswer {
    pub aliases: Aliases,
    /// All other fields. Its own `aliases` is empty.
    pub others: pb::BatchResolveResponse,
}

impl BatchRequest {
    /// Decodes as prost does: fields come in any order, the last value of a field that is not
    /// repeated counts, and unknown fields are skipped.
    ///
    /// # Errors
    /// If the bytes are not the message.
    pub fn decode(message: Bytes) -> Result<Self, CallFault> {
        let (mut project_id, mut consistency_token, mut ranges) = (0, String::new(), Vec::new());
        let mut rest = &message[..];
        while !rest.is_empty() {
            let (tag, wire_type) = decode_key(&mut rest)?;
            let context = DecodeContext::default();
            match tag {
                1 => uint64::merge(wire_type, &mut project_id, &mut rest, context)?,
                2 => {
                    check_wire_type(WireType::LengthDelimited, wire_type)?;
                    let length = decode_varint(&mut rest)?;
                    let start = message.len() - rest.len();
                    let after = usize::try_from(length).ok().and_then(|length| rest.get(length..));
                    rest = after
                        .ok_or_else(|| CallFault::Malformed("an id is cut short".to_owned()))?;
                    // Both are at most the length of the message.
                    ranges.push((start as u32, length as u32));
                }
                3 => string::merge(wire_type, &mut consistency_token, &mut rest, context)?,
                _ => skip_field(wire_type, tag, &mut rest, context)?,
            }
        }
        Ok(Self { project_id, ids: Ids { message, ranges }, consistency_token })
    }
}

impl Ids {
    /// The ids, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.ranges.iter().map(|&(start, length)| {
            let start = start as usize;
            &self.message[start..start + length as usize]
        })
    }
}

impl BatchAnswer {
    /// Encodes byte for byte as prost does: the aliases come before all other fields.
    pub fn encode(&self, buffer: &mut impl BufMut) {
        debug_assert!(self.others.aliases.is_empty());
        for (index, canonical) in self.aliases.iter() {
            put_resolved(index, canonical, buffer);
        }
        self.others.encode_raw(buffer);
    }

    /// At least the encoded length, and hardly more.
    pub fn length_at_most(&self) -> usize {
        let head = RESOLVED_HEAD;
        let aliases = self.aliases.iter().map(|(_, canonical)| head + canonical.len());
        aliases.sum::<usize>() + self.others.encoded_len()
    }
}

/// The most bytes of a `Resolved` before its id: three keys of one byte, three numbers.
const RESOLVED_HEAD: usize = 3 + 3 * 5;

fn put_resolved(index: u32, canonical: &[u8], buffer: &mut impl BufMut) {
    // Collected in an array first, because each write to a growing buffer checks its capacity.
    let mut head = [0; RESOLVED_HEAD];
    let mut room = &mut head[..];
    let (index, length) = (u64::from(index), canonical.len() as u64);
    // The number 0 and an empty id are not written.
    let index_length = if index == 0 { 0 } else { 1 + encoded_len_varint(index) };
    let id_length = if length == 0 { 0 } else { 1 + encoded_len_varint(length) };
    encode_key(1, WireType::LengthDelimited, &mut room);
    encode_varint((index_length + id_length) as u64 + length, &mut room);
    if index > 0 {
        encode_key(1, WireType::Varint, &mut room);
        encode_varint(index, &mut room);
    }
    if length > 0 {
        encode_key(2, WireType::LengthDelimited, &mut room);
        encode_varint(length, &mut room);
    }
    let left = room.len();
    buffer.put_slice(&head[..RESOLVED_HEAD - left]);
    buffer.put_slice(canonical);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzz::{always, spoiled, text};
    use aka_wire::pb::{BatchResolveRequest, BatchResolveResponse, Failure, Resolved};
    use arbtest::arbitrary::{Result, Unstructured};
    use std::cell::Cell;

    fn same(message: &[u8]) -> bool {
        let message = Bytes::copy_from_slice(message);
        let ours = BatchRequest::decode(message.clone());
        match (BatchResolveRequest::decode(message.clone()), ours) {
            (Ok(meant), Ok(ours)) => {
                assert_eq!(ours.project_id, meant.project_id, "{message:?}");
                assert_eq!(ours.consistency_token, meant.consistency_token, "{message:?}");
                assert!(ours.ids.iter().eq(meant.distinct_ids.iter().map(|id| &id[..])));
                assert_eq!(ours.ids.iter().len(), meant.distinct_ids.len());
                true
            }
            (Err(_), Err(fault)) => {
                assert!(matches!(fault, CallFault::Malformed(_)), "{fault}");
                false
            }
            (meant, ours) => panic!("{message:?}: prost {meant:?}, ours {ours:?}"),
        }
    }

    fn request(random: &mut Unstructured<'_>) -> Result<BatchResolveRequest> {
        let distinct_ids: Vec<Vec<u8>> = random.arbitrary()?;
        Ok(BatchResolveRequest {
            distinct_ids: distinct_ids.into_iter().map(Bytes::from).collect(),
            consistency_token: text(random)?,
            project_id: random.arbitrary::<u64>()? >> random.int_in_range(0..=63)?,
        })
    }

    #[test]
    fn requests_are_read_as_prost_reads_them() {
        let (good, bad) = (Cell::new(0_u64), Cell::new(0_u64));
        always(|random| {
            let mut message = request(random)?.encode_to_vec();
            if random.arbitrary()? {
                // Two messages joined: fields in any order, and more than once.
                message.extend(request(random)?.encode_to_vec());
            }
            assert!(same(&message));
            let count = if same(&spoiled(random, message)?) { &good } else { &bad };
            count.set(count.get() + 1);
            Ok(())
        });
        assert!(good.get() > 10 && bad.get() > 10, "{good:?} {bad:?}");
    }

    /// Small bytes are the keys of known fields, and lengths that fit.
    #[test]
    fn a_few_bytes_are_read_as_prost_reads_them() {
        always(|random| {
            let most = if random.arbitrary()? { 40 } else { 255 };
            let length = random.int_in_range(0..=12)?;
            let bytes: Result<Vec<u8>> =
                (0..length).map(|_| random.int_in_range(0..=most)).collect();
            same(&bytes?);
            Ok(())
        });
    }

    #[test]
    fn bytes_that_are_not_the_message_are_malformed() {
        let bad: [&[u8]; 8] = [
            b"\x12",
            b"\x12\x05bob",
            b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01bob",
            b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01bob",
            b"\x10\x05",
            b"\x1a\x01\xff",
            b"\x00\x00",
            b"\x23",
        ];
        for message in bad {
            assert!(!same(message), "{message:?}");
        }
        for message in [&b""[..], b"\x12\x00", b"\x22\x01x\x08\x05\x12\x01\xff", b"\x23\x24"] {
            assert!(same(message), "{message:?}");
        }
    }

    #[test]
    fn answers_are_written_as_prost_writes_them() {
        let long = [b'x'; 255];
        let ids: [(u32, &[u8]); 7] = [
            (0, b"alice"),
            (1, b""),
            (127, b"a"),
            (128, &long[..127]),
            (300, &long[..128]),
            (9_999, &long),
            (u32::MAX, b"alice"),
        ];
        let mut aliases = Aliases::default();
        for (index, id) in ids {
            aliases.push(index, id);
        }
        let resolved =
            ids.map(|(index, id)| Resolved { index, canonical_id: Bytes::copy_from_slice(id) });
        let failure = Failure { index: 5, reason: "WHY".to_owned(), ..Failure::default() };
        let all = BatchResolveResponse {
            aliases: resolved.into(),
            failures: vec![failure],
            degraded: true,
        };
        let others = BatchResolveResponse { aliases: Vec::new(), ..all.clone() };
        for (aliases, others, meant) in [
            (aliases.clone(), others.clone(), all.clone()),
            (
                aliases,
                Default::default(),
                BatchResolveResponse { aliases: all.aliases, ..Default::default() },
            ),
            (Aliases::default(), others.clone(), others),
        ] {
            let answer = BatchAnswer { aliases, others };
            let mut buffer = Vec::new();
            answer.encode(&mut buffer);
            assert_eq!(buffer, meant.encode_to_vec());
            assert!(buffer.len() <= answer.length_at_most());
        }
    }
}
