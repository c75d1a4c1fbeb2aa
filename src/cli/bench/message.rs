//! Requests as bytes, and whether the answers to them are right.

use super::keys::{ID_LENGTH, Key, Keys};
use super::wire::{Failed, PREFIX};
use crate::cli::text::Quoted;
use aka_wire::pb::{
    BatchResolveResponse, CreateAliasRequest, CreateAliasResponse, ResolveResponse,
};
use bytes::{BufMut, Bytes, BytesMut};
use prost::Message;
use tonic::Code;

/// What is asked of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Resolve,
    BatchResolve,
    StreamResolve,
    Create,
}

impl Kind {
    pub fn path(self) -> &'static str {
        match self {
            Self::Resolve => "/aka.v1.Resolver/Resolve",
            Self::BatchResolve => "/aka.v1.Resolver/BatchResolve",
            Self::StreamResolve => "/aka.v1.Resolver/StreamResolve",
            Self::Create => "/aka.v1.AliasAdmin/CreateAlias",
        }
    }
}

/// Turns keys into messages, in a buffer that is used again once they are sent.
pub(super) struct Encoder {
    kind: Kind,
    project_id: u64,
    buffer: BytesMut,
}

impl Encoder {
    pub fn new(kind: Kind, project_id: u64) -> Self {
        Self { kind, project_id, buffer: BytesMut::new() }
    }

    /// The message that asks for these keys, with gRPC's prefix.
    pub fn encode(&mut self, keys: &[Key]) -> Bytes {
        self.buffer.reserve(PREFIX + 11 + keys.len() * (2 + ID_LENGTH) + 64);
        self.buffer.put_bytes(0, PREFIX);
        match (self.kind, keys) {
            (Kind::Create, keys) => keys.iter().for_each(|key| self.put_create(*key)),
            _ => self.put_lookup(keys),
        }
        let length = (self.buffer.len() - PREFIX) as u32;
        self.buffer[1..PREFIX].copy_from_slice(&length.to_be_bytes());
        self.buffer.split().freeze()
    }

    /// `ResolveRequest` and `BatchResolveRequest` are alike: field 1 is the project, field 2 an id or
    /// many. By hand, as prost would have each id in an allocation of its own.
    fn put_lookup(&mut self, keys: &[Key]) {
        self.buffer.put_u8(0x08);
        prost::encoding::encode_varint(self.project_id, &mut self.buffer);
        for key in keys {
            self.buffer.put_slice(&[0x12, ID_LENGTH as u8]);
            self.buffer.put_slice(&key.id());
        }
    }

    fn put_create(&mut self, key: Key) {
        let request = CreateAliasRequest {
            project_id: self.project_id,
            alias_id: Bytes::copy_from_slice(&key.made()),
            canonical_id: Bytes::copy_from_slice(&key.canonical()),
            dry_run: false,
        };
        // A buffer that grows has room for everything.
        let _ = request.encode(&mut self.buffer);
    }
}

/// What came of the ids of one call.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    pub aliases: u64,
    pub wrong: u64,
    /// Ids that the server could not find out about.
    pub failed: Vec<Code>,
    pub degraded: bool,
    /// The first of the wrong ones, in words.
    pub example: Option<String>,
}

/// Looks at answers. `trust` looks at their form alone: a bare echo has no aliases.
pub(super) struct Checker {
    pub kind: Kind,
    pub keys: Keys,
    pub trust: bool,
    /// Of each index of a batch, whether it was in the answer.
    seen: Vec<bool>,
}

impl Checker {
    pub fn new(kind: Kind, keys: Keys, trust: bool) -> Self {
        Self { kind, keys, trust, seen: Vec::new() }
    }

    pub fn check(&mut self, keys: &[Key], message: Bytes) -> Result<Verdict, Failed> {
        let malformed = |_| Failed(Code::Internal);
        match self.kind {
            Kind::Resolve => {
                let key = keys.first().ok_or(Failed(Code::Internal))?;
                Ok(self.resolve(*key, &ResolveResponse::decode(message).map_err(malformed)?))
            }
            Kind::BatchResolve | Kind::StreamResolve => {
                self.batch(keys, BatchResolveResponse::decode(message).map_err(malformed)?)
            }
            Kind::Create => {
                let answer = CreateAliasResponse::decode(message).map_err(malformed)?;
                let wrong = !answer.created && !self.trust;
                let example =
                    wrong.then(|| "an alias that nobody had was there already".to_owned());
                Ok(Verdict { aliases: 1, wrong: u64::from(wrong), example, ..Verdict::default() })
            }
        }
    }

    fn resolve(&self, key: Key, answer: &ResolveResponse) -> Verdict {
        let mut verdict = Verdict {
            aliases: u64::from(answer.is_alias),
            degraded: answer.degraded,
            ..Verdict::default()
        };
        let right = match self.keys.is_alias(key) {
            true => answer.is_alias && answer.canonical_id == key.canonical()[..],
            false => !answer.is_alias && answer.canonical_id == key.id()[..],
        };
        if !right && !self.trust {
            self.note_wrong(&mut verdict, key, Some(&answer.canonical_id));
        }
        verdict
    }

    fn batch(&mut self, keys: &[Key], answer: BatchResolveResponse) -> Result<Verdict, Failed> {
        let mut verdict = Verdict {
            aliases: answer.aliases.len() as u64,
            degraded: answer.degraded,
            ..Verdict::default()
        };
        self.seen.clear();
        self.seen.resize(keys.len(), false);
        // An index that was not asked for, or twice: no telling which answer belongs to whom.
        let mut see = |index: u32| {
            let seen = self.seen.get_mut(index as usize).filter(|seen| !**seen);
            seen.map(|seen| *seen = true).ok_or(Failed(Code::Internal))
        };
        for failure in &answer.failures {
            see(failure.index)?;
            verdict.failed.push(Code::from(failure.code));
        }
        for alias in &answer.aliases {
            see(alias.index)?;
        }
        if self.trust {
            return Ok(verdict);
        }
        for alias in &answer.aliases {
            let key = keys[alias.index as usize];
            if !self.keys.is_alias(key) || alias.canonical_id != key.canonical()[..] {
                self.note_wrong(&mut verdict, key, Some(&alias.canonical_id));
            }
        }
        for (key, seen) in keys.iter().zip(&self.seen) {
            if !seen && self.keys.is_alias(*key) {
                self.note_wrong(&mut verdict, *key, None);
            }
        }
        Ok(verdict)
    }

    fn note_wrong(&self, verdict: &mut Verdict, key: Key, answered: Option<&[u8]>) {
        verdict.wrong += 1;
        verdict.example.get_or_insert_with(|| {
            let id = key.id();
            let canonical = key.canonical();
            let meant = if self.keys.is_alias(key) { &canonical[..] } else { &id[..] };
            let answered = Quoted(answered.unwrap_or(&id));
            format!("{} resolved to {answered}, not to {}", Quoted(&id), Quoted(meant))
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aka_wire::pb::{BatchResolveRequest, Failure, ResolveRequest, Resolved};

    const KEYS: [Key; 4] = [Key::known(0), Key::known(1), Key::known(2), Key::known(3)];

    #[test]
    fn requests_are_what_prost_reads() {
        let frame = Encoder::new(Kind::Resolve, 1 << 60).encode(&KEYS[..1]);
        let request = ResolveRequest::decode(frame.slice(PREFIX..)).expect("a message");
        assert_eq!((request.project_id, &request.distinct_id[..]), (1 << 60, &KEYS[0].id()[..]));
        let mut encoder = Encoder::new(Kind::BatchResolve, 7);
        for _ in 0..2 {
            let frame = encoder.encode(&KEYS);
            assert_eq!(frame[..PREFIX], [0, 0, 0, 0, 98]);
            let request = BatchResolveRequest::decode(frame.slice(PREFIX..)).expect("a message");
            assert!(request.distinct_ids.iter().map(|id| &id[..]).eq(KEYS.map(|key| key.id())));
        }
        let frame = Encoder::new(Kind::Create, 7).encode(&KEYS[1..2]);
        let request = CreateAliasRequest::decode(frame.slice(PREFIX..)).expect("a message");
        assert_eq!(&request.alias_id[..], b"added-0000000000000001");
        assert_eq!(&request.canonical_id[..], b"user-0000000000000001");
    }

    fn batch(aliases: &[(u32, &'static [u8])], failures: &[u32]) -> Result<Verdict, Failed> {
        let resolved = |&(index, id)| Resolved { index, canonical_id: Bytes::from_static(id) };
        let failed =
            |&index| Failure { index, code: Code::Unavailable.into(), ..Failure::default() };
        let answer = BatchResolveResponse {
            aliases: aliases.iter().map(resolved).collect(),
            failures: failures.iter().map(failed).collect(),
            degraded: false,
        };
        // Of the four keys the first and the third are aliases.
        let mut checker = Checker::new(Kind::BatchResolve, Keys::new(4, 0.3), false);
        assert_eq!(KEYS.map(|key| checker.keys.is_alias(key)), [true, false, true, false]);
        checker.check(&KEYS, answer.encode_to_vec().into())
    }

    #[test]
    fn every_index_of_a_batch_is_looked_at() {
        let (zero, two) = (&b"user-0000000000000000"[..], &b"user-0000000000000002"[..]);
        let right = batch(&[(2, two), (0, zero)], &[]).expect("well formed");
        assert_eq!(right, Verdict { aliases: 2, ..Verdict::default() });
        let partly = batch(&[(0, zero)], &[1, 2]).expect("well formed");
        assert_eq!((partly.wrong, partly.failed.len()), (0, 2));
        let missing = batch(&[(0, zero)], &[]).expect("well formed");
        assert_eq!(missing.wrong, 1);
        let example = "\"bench-0000000000000002\" resolved to \"bench-0000000000000002\", not to \
                       \"user-0000000000000002\"";
        assert_eq!(missing.example.as_deref(), Some(example));
        let other = batch(&[(0, two), (1, zero), (2, two)], &[]).expect("well formed");
        assert_eq!(other.wrong, 2);
        for (aliases, failures) in
            [(&[(4, two)][..], &[][..]), (&[(0, zero), (0, zero)], &[]), (&[], &[0, 0])]
        {
            assert_eq!(batch(aliases, failures), Err(Failed(Code::Internal)));
        }
    }

    #[test]
    fn one_answer_is_right_or_wrong() {
        let checker = Checker::new(Kind::Resolve, Keys::new(4, 0.3), false);
        let wrong = |key: Key, id: &[u8], is_alias| {
            let canonical_id = Bytes::copy_from_slice(id);
            checker.resolve(key, &ResolveResponse { canonical_id, is_alias, degraded: false }).wrong
        };
        assert_eq!(wrong(KEYS[0], &KEYS[0].canonical(), true), 0);
        assert_eq!(wrong(KEYS[0], &KEYS[0].id(), false), 1);
        assert_eq!(wrong(KEYS[0], &KEYS[1].canonical(), true), 1);
        assert_eq!(wrong(KEYS[1], &KEYS[1].id(), false), 0);
        assert_eq!(wrong(KEYS[1], &KEYS[1].canonical(), true), 1);
        assert_eq!(wrong(KEYS[1], &KEYS[1].id(), true), 1);
    }
}
