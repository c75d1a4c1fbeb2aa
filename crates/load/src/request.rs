//! Requests: ids as framed messages.

use crate::ids::{ID_LENGTH, LoadId};
use crate::plan::Mode;
use aka_wire::Method;
use aka_wire::frame::framed;
use aka_wire::pb::CreateAliasRequest;
use bytes::{BufMut, Bytes};
use prost::Message;
use prost::encoding::{encode_varint, encoded_len_varint};

/// The operation that a group of callers does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Lookup(Mode),
    /// `CreateAlias`, one alias with each call.
    Create,
}

impl Operation {
    pub fn method(self) -> Method {
        match self {
            Self::Lookup(Mode::Unary) => Method::Resolve,
            Self::Lookup(Mode::Batch(_)) => Method::BatchResolve,
            Self::Lookup(Mode::Stream(_)) => Method::StreamResolve,
            Self::Create => Method::CreateAlias,
        }
    }

    pub fn ids_per_call(self) -> u32 {
        match self {
            Self::Lookup(mode) => mode.ids_per_call(),
            Self::Create => 1,
        }
    }

    /// The framed message for these ids.
    pub fn request(self, project_id: u64, ids: &[LoadId]) -> Bytes {
        match (self, ids) {
            (Self::Create, [id, ..]) => create(project_id, *id),
            _ => lookup(project_id, ids),
        }
    }
}

/// A `ResolveRequest` or a `BatchResolveRequest`. Both look alike on the wire: field 1 is the
/// project, field 2 an id or many. It is written by hand, because prost would allocate each id.
fn lookup(project_id: u64, ids: &[LoadId]) -> Bytes {
    const PROJECT_ID: u8 = 0x08;
    const DISTINCT_ID: u8 = 0x12;
    let length = 1 + encoded_len_varint(project_id) + ids.len() * (2 + ID_LENGTH);
    framed(length, |buffer| {
        buffer.put_u8(PROJECT_ID);
        encode_varint(project_id, buffer);
        for id in ids {
            buffer.put_slice(&[DISTINCT_ID, ID_LENGTH as u8]);
            buffer.put_slice(&id.id());
        }
    })
}

fn create(project_id: u64, id: LoadId) -> Bytes {
    let request = CreateAliasRequest {
        project_id,
        alias_id: Bytes::copy_from_slice(&id.created()),
        canonical_id: Bytes::copy_from_slice(&id.canonical()),
        dry_run: false,
    };
    framed(request.encoded_len(), |buffer| {
        // This fails only for a buffer that cannot grow.
        let _ = request.encode(buffer);
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use aka_wire::frame::PREFIX;
    use aka_wire::pb::{BatchResolveRequest, ResolveRequest};

    #[test]
    fn prost_reads_the_requests() {
        let ids: [LoadId; 4] = std::array::from_fn(|number| LoadId::known(number as u32));
        let frame = Operation::Lookup(Mode::Unary).request(1 << 60, &ids[..1]);
        let request = ResolveRequest::decode(frame.slice(PREFIX..)).expect("a message");
        assert_eq!((request.project_id, &request.distinct_id[..]), (1 << 60, &ids[0].id()[..]));
        let frame = Operation::Lookup(Mode::Batch(4)).request(7, &ids);
        assert_eq!(frame[..PREFIX], [0, 0, 0, 0, 98]);
        let request = BatchResolveRequest::decode(frame.slice(PREFIX..)).expect("a message");
        assert!(request.distinct_ids.iter().map(|id| &id[..]).eq(ids.map(|id| id.id())));
        let frame = Operation::Create.request(7, &ids[1..2]);
        let request = CreateAliasRequest::decode(frame.slice(PREFIX..)).expect("a message");
        assert_eq!(&request.alias_id[..], b"added-0000000000000001");
        assert_eq!(&request.canonical_id[..], b"user-0000000000000001");
    }
}
