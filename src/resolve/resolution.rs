//! The answer to a batch.

use crate::metrics::LookupResult;
use aka_core::coherence::LookupFailure;
use bytes::Bytes;

/// The answer to a batch. An index that is in neither list resolves to itself.
#[derive(Debug, Default)]
pub struct Resolution {
    /// Ids that are aliases.
    pub aliases: Aliases,
    /// Ids that could not be looked up, by index, sorted.
    pub failures: Vec<(u32, LookupFailure)>,
    /// Whether any answer is degraded.
    pub degraded: bool,
}

/// The answer for one id, and how it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained {
    /// The canonical id. `None`: the id is no alias, or nothing could be found out.
    pub canonical: Option<Bytes>,
    /// How it was found. A load that was made for an earlier reader counts as `Loaded`.
    pub result: LookupResult,
}

/// The canonical ids of a batch's aliases, by index.
///
/// All canonical ids are in one buffer. Half of a batch may be aliases, and an allocation or a
/// reference count for each would cost more than its lookup.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Aliases {
    spans: Vec<Span>,
    canonical_ids: Vec<u8>,
}

/// The index of one id in the batch, and the place of its canonical id in the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    index: u32,
    start: u32,
    length: u32,
}

impl Aliases {
    /// Notes that the id at `index` is an alias of `canonical`.
    pub fn push(&mut self, index: u32, canonical: &[u8]) {
        // 10,000 ids of 255 bytes are far below the limit of 32 bits.
        let (start, length) = (self.canonical_ids.len() as u32, canonical.len() as u32);
        self.canonical_ids.extend_from_slice(canonical);
        self.spans.push(Span { index, start, length });
    }

    /// Sorts by index.
    pub fn sort(&mut self) {
        self.spans.sort_unstable_by_key(|span| span.index);
    }

    /// The index of each alias in the batch, with its canonical id.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (u32, &[u8])> {
        self.spans.iter().map(|&Span { index, start, length }| {
            let start = start as usize;
            (index, &self.canonical_ids[start..start + length as usize])
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_come_back_by_index() {
        let mut aliases = Aliases::default();
        let long = [b'x'; 255];
        for (index, id) in [(3, &b"carol"[..]), (0, &long), (7, b"c")] {
            aliases.push(index, id);
        }
        aliases.sort();
        let sorted: Vec<_> = aliases.iter().collect();
        assert_eq!(sorted, [(0, &long[..]), (3, b"carol"), (7, b"c")]);
    }
}
