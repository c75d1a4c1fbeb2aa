//! Draws the ids that are asked for.

use crate::ids::{IdSet, LoadId, UnseenIds, share};
use crate::zipf::{SplitMix, Zipf};

/// How many samples of a skewed draw are made beforehand. A logarithm for each id would cost more
/// than the rest of its request.
const SAMPLES: usize = 1 << 20;

/// One sample is replaced after so many were used, so that a long run does not repeat itself.
const RENEW: usize = 8;

/// Where a caller's ids come from.
pub(crate) enum IdSource {
    Drawn(Box<DrawnIds>),
    Unseen(UnseenIds),
}

impl IdSource {
    /// Replaces what is in `ids` by the next `count` ids.
    pub fn fill(&mut self, ids: &mut Vec<LoadId>, count: usize) {
        ids.clear();
        ids.extend((0..count).map(|_| match self {
            Self::Drawn(drawn) => drawn.next_id(),
            Self::Unseen(unseen) => unseen.next_id(),
        }));
    }
}

/// Draws ids of a set at random, evenly or by Zipf's law, and unseen ids among them.
pub struct DrawnIds {
    ids: IdSet,
    random: SplitMix,
    /// The share of unseen ids, as a part of 2^64.
    cold: u128,
    unseen: UnseenIds,
    skewed: Option<SkewedSamples>,
}

struct SkewedSamples {
    zipf: Zipf,
    samples: Vec<u32>,
    at: usize,
}

impl DrawnIds {
    /// `zipf`: the skew, with which id k comes in proportion to 1 / k^`zipf`; 0: all alike. `cold`:
    /// the share of unseen ids, 0 to 1. The same seed draws the same ids.
    pub fn new(ids: IdSet, zipf: f64, cold: f64, seed: u64, unseen: UnseenIds) -> Self {
        let mut random = SplitMix::new(seed);
        let skewed = (zipf > 0.0).then(|| {
            let zipf = Zipf::new(ids.count, zipf);
            let samples = (0..SAMPLES).map(|_| zipf.sample(&mut random)).collect();
            SkewedSamples { zipf, samples, at: 0 }
        });
        Self { ids, random, cold: share(cold), unseen, skewed }
    }

    /// The next id.
    #[inline]
    pub fn next_id(&mut self) -> LoadId {
        if self.cold > 0 && u128::from(self.random.next()) < self.cold {
            return self.unseen.next_id();
        }
        let Some(SkewedSamples { zipf, samples, at }) = &mut self.skewed else {
            return LoadId::known(self.random.below(self.ids.count));
        };
        *at = (*at + 1) % SAMPLES;
        if *at % RENEW == 0 {
            // At a random index, because `at` only takes an eighth of all indexes here.
            let index = self.random.below(SAMPLES as u32) as usize;
            samples[index] = zipf.sample(&mut self.random);
        }
        LoadId::known(samples[*at])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_are_in_bounds_repeatable_and_as_cold_as_asked_for() {
        let ids = IdSet::new(100, 0.5);
        for zipf in [0.0, 1.0] {
            let draw = || {
                let mut drawn = DrawnIds::new(ids, zipf, 0.25, 7, UnseenIds::new(1, 1));
                (0..10_000).map(|_| drawn.next_id()).collect::<Vec<_>>()
            };
            let drawn = draw();
            assert_eq!(drawn, draw());
            let cold = drawn.iter().filter(|id| id.is_unseen()).count();
            assert!((2_300..2_700).contains(&cold), "{cold}");
            let known: Vec<_> = ids.iter().collect();
            assert!(drawn.iter().all(|id| id.is_unseen() || known.contains(id)));
            assert!(!drawn.iter().any(|&id| id.is_unseen() && ids.is_alias(id)));
        }
    }
}
