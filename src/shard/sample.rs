//! Picks the answers that are audited, each with the same small probability.

use std::cell::Cell;

thread_local! {
    /// How many answers of this thread are skipped until the next is picked. One count serves all
    /// shards, because each answer must be equally likely.
    static SKIP: Cell<u64> = const { Cell::new(UNDRAWN) };
}

const UNDRAWN: u64 = u64::MAX;

/// A sampler that costs an answer a branch and a count: no lock, no random number, no memory that
/// threads share. One random number is drawn for a whole run of skipped answers.
pub(super) struct Sample {
    ratio: f64,
}

impl Sample {
    pub fn new(ratio: f64) -> Self {
        Self { ratio }
    }

    pub fn is_off(&self) -> bool {
        self.ratio <= 0.0
    }

    /// Whether to pick the next answer. Each call counts one answer.
    #[inline]
    pub fn picks_next(&self) -> bool {
        if self.is_off() {
            return false;
        }
        match SKIP.get() {
            0 => {
                SKIP.set(self.draw());
                true
            }
            UNDRAWN => {
                SKIP.set(self.draw());
                self.picks_next()
            }
            left => {
                SKIP.set(left - 1);
                false
            }
        }
    }

    /// The length of a run of answers outside of the sample: a geometric distribution.
    #[cold]
    fn draw(&self) -> u64 {
        let uniform = 1.0 - rand::random::<f64>();
        let skipped = uniform.ln() / (-self.ratio).ln_1p();
        (skipped as u64).min(UNDRAWN - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(ratio: f64, of: u32) -> u32 {
        SKIP.set(UNDRAWN);
        let sample = Sample::new(ratio);
        (0..of).map(|_| u32::from(sample.picks_next())).sum()
    }

    #[test]
    fn the_ratio_is_kept() {
        assert_eq!(taken(0.0, 10_000), 0);
        assert_eq!(taken(1.0, 10_000), 10_000);
        // More than ten standard deviations to either side.
        assert!((4_400..5_600).contains(&taken(0.5, 10_000)));
        assert!((600..1_400).contains(&taken(0.001, 1_000_000)));
    }
}
