//! Checks answers.

use crate::call::CallFailed;
use crate::ids::{IdSet, LoadId};
use crate::plan::Mode;
use crate::request::Operation;
use aka_wire::Quoted;
use aka_wire::pb::{BatchResolveResponse, CreateAliasResponse, ResolveResponse};
use bytes::Bytes;
use prost::Message;
use serde::{Serialize, Serializer};
use std::fmt;
use tonic::Code;

/// The result of checking the answer to one call.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Checked {
    /// How many ids are aliases.
    pub aliases: u64,
    /// How many ids were answered wrongly.
    pub wrong: u64,
    /// One code for each id that the server could not find out about.
    pub failed: Vec<Code>,
    pub degraded: bool,
    pub first_wrong: Option<WrongAnswer>,
}

/// A wrong answer, as an example for people. It is serialized as the sentence that `Display`
/// writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WrongAnswer {
    /// An id resolved to a wrong canonical id.
    Resolved {
        /// The id that was asked for.
        id: LoadId,
        /// The canonical id in the answer.
        answered: Bytes,
        /// The right canonical id.
        expected: Bytes,
    },
    /// A create of an unseen id found that the alias existed already.
    AlreadyThere,
}

impl fmt::Display for WrongAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resolved { id, answered, expected } => {
                let (id, answered, expected) = (&id.id(), Quoted(answered), Quoted(expected));
                write!(f, "{} resolved to {answered}, not to {expected}", Quoted(id))
            }
            Self::AlreadyThere => f.write_str("a new alias was answered as existing already"),
        }
    }
}

impl Serialize for WrongAnswer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Compares the answers to the calls of one operation with the right ones.
pub(crate) struct Checker {
    operation: Operation,
    ids: IdSet,
    /// Whether canonical ids are compared. Otherwise only the form of an answer is checked.
    compare: bool,
    /// Whether each index of a batch was in the answer. The buffer is used for all answers.
    seen: Vec<bool>,
}

impl Checker {
    pub fn new(operation: Operation, ids: IdSet, compare: bool) -> Self {
        Self { operation, ids, compare, seen: Vec::new() }
    }

    /// Checks the answer to a call for these ids.
    ///
    /// # Errors
    /// If it is malformed.
    pub fn check(&mut self, ids: &[LoadId], message: Bytes) -> Result<Checked, CallFailed> {
        let malformed = |_| CallFailed::of(Code::Internal);
        match self.operation {
            Operation::Lookup(Mode::Unary) => {
                let id = ids.first().ok_or(CallFailed::of(Code::Internal))?;
                Ok(self.single(*id, &ResolveResponse::decode(message).map_err(malformed)?))
            }
            Operation::Lookup(Mode::Batch(_) | Mode::Stream(_)) => {
                self.batch(ids, BatchResolveResponse::decode(message).map_err(malformed)?)
            }
            Operation::Create => {
                let answer = CreateAliasResponse::decode(message).map_err(malformed)?;
                let wrong = !answer.created && self.compare;
                let first_wrong = wrong.then_some(WrongAnswer::AlreadyThere);
                Ok(Checked { aliases: 1, wrong: wrong.into(), first_wrong, ..Checked::default() })
            }
        }
    }

    fn single(&self, id: LoadId, answer: &ResolveResponse) -> Checked {
        let mut checked = Checked {
            aliases: u64::from(answer.is_alias),
            degraded: answer.degraded,
            ..Checked::default()
        };
        let right = match self.ids.is_alias(id) {
            true => answer.is_alias && answer.canonical_id == id.canonical()[..],
            false => !answer.is_alias && answer.canonical_id == id.id()[..],
        };
        if !right && self.compare {
            self.note_wrong(&mut checked, id, Some(&answer.canonical_id));
        }
        checked
    }

    fn batch(
        &mut self,
        ids: &[LoadId],
        answer: BatchResolveResponse,
    ) -> Result<Checked, CallFailed> {
        let mut checked = Checked {
            aliases: answer.aliases.len() as u64,
            degraded: answer.degraded,
            ..Checked::default()
        };
        self.seen.clear();
        self.seen.resize(ids.len(), false);
        // If an index is too large or comes twice, nothing shows which answer belongs to which id.
        let mut see = |index: u32| {
            let seen = self.seen.get_mut(index as usize).filter(|seen| !**seen);
            seen.map(|seen| *seen = true).ok_or(CallFailed::of(Code::Internal))
        };
        for failure in &answer.failures {
            see(failure.index)?;
            checked.failed.push(Code::from(failure.code));
        }
        for alias in &answer.aliases {
            see(alias.index)?;
        }
        if !self.compare {
            return Ok(checked);
        }
        for alias in &answer.aliases {
            let id = ids[alias.index as usize];
            if !self.ids.is_alias(id) || alias.canonical_id != id.canonical()[..] {
                self.note_wrong(&mut checked, id, Some(&alias.canonical_id));
            }
        }
        for (id, seen) in ids.iter().zip(&self.seen) {
            if !seen && self.ids.is_alias(*id) {
                self.note_wrong(&mut checked, *id, None);
            }
        }
        Ok(checked)
    }

    /// Notes a wrong answer. `answered`: `None` if a batch answer left the id out, which means that
    /// it resolves to itself.
    fn note_wrong(&self, checked: &mut Checked, id: LoadId, answered: Option<&Bytes>) {
        checked.wrong += 1;
        checked.first_wrong.get_or_insert_with(|| {
            let itself = Bytes::copy_from_slice(&id.id());
            let expected = match self.ids.is_alias(id) {
                true => Bytes::copy_from_slice(&id.canonical()),
                false => itself.clone(),
            };
            WrongAnswer::Resolved { id, answered: answered.cloned().unwrap_or(itself), expected }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aka_wire::pb::{Failure, Resolved};

    const IDS: [LoadId; 4] =
        [LoadId::known(0), LoadId::known(1), LoadId::known(2), LoadId::known(3)];

    fn checker(mode: Mode) -> Checker {
        Checker::new(Operation::Lookup(mode), IdSet::new(4, 0.3), true)
    }

    fn batch(aliases: &[(u32, &'static [u8])], failures: &[u32]) -> Result<Checked, CallFailed> {
        let resolved = |&(index, id)| Resolved { index, canonical_id: Bytes::from_static(id) };
        let failed =
            |&index| Failure { index, code: Code::Unavailable.into(), ..Failure::default() };
        let answer = BatchResolveResponse {
            aliases: aliases.iter().map(resolved).collect(),
            failures: failures.iter().map(failed).collect(),
            degraded: false,
        };
        // Of the four keys the first and the third are aliases.
        let mut checker = checker(Mode::Batch(4));
        assert_eq!(IDS.map(|id| checker.ids.is_alias(id)), [true, false, true, false]);
        checker.check(&IDS, answer.encode_to_vec().into())
    }

    #[test]
    fn every_index_of_a_batch_is_checked() {
        let (zero, two) = (&b"user-0000000000000000"[..], &b"user-0000000000000002"[..]);
        let right = batch(&[(2, two), (0, zero)], &[]).expect("well formed");
        assert_eq!(right, Checked { aliases: 2, ..Checked::default() });
        let partly = batch(&[(0, zero)], &[1, 2]).expect("well formed");
        assert_eq!((partly.wrong, partly.failed.len()), (0, 2));
        let missing = batch(&[(0, zero)], &[]).expect("well formed");
        assert_eq!(missing.wrong, 1);
        let example = "\"bench-0000000000000002\" resolved to \"bench-0000000000000002\", not to \
                       \"user-0000000000000002\"";
        assert_eq!(missing.first_wrong.map(|wrong| wrong.to_string()).as_deref(), Some(example));
        let other = batch(&[(0, two), (1, zero), (2, two)], &[]).expect("well formed");
        assert_eq!(other.wrong, 2);
        for (aliases, failures) in
            [(&[(4, two)][..], &[][..]), (&[(0, zero), (0, zero)], &[]), (&[], &[0, 0])]
        {
            assert_eq!(batch(aliases, failures), Err(CallFailed::of(Code::Internal)));
        }
    }

    #[test]
    fn a_wrong_answer_to_a_single_id_is_found() {
        let checker = checker(Mode::Unary);
        let wrong = |asked: LoadId, id: &[u8], is_alias| {
            let canonical_id = Bytes::copy_from_slice(id);
            checker
                .single(asked, &ResolveResponse { canonical_id, is_alias, degraded: false })
                .wrong
        };
        assert_eq!(wrong(IDS[0], &IDS[0].canonical(), true), 0);
        assert_eq!(wrong(IDS[0], &IDS[0].id(), false), 1);
        assert_eq!(wrong(IDS[0], &IDS[1].canonical(), true), 1);
        assert_eq!(wrong(IDS[1], &IDS[1].id(), false), 0);
        assert_eq!(wrong(IDS[1], &IDS[1].canonical(), true), 1);
        assert_eq!(wrong(IDS[1], &IDS[1].id(), true), 1);
    }
}
