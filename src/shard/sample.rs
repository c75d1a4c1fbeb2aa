//! Which answers are audited: each with the same small probability.

use std::cell::Cell;

thread_local! {
    /// How many answers of this thread are passed over until the next is taken. Every shard counts
    /// on it: each answer is as likely as any other, whoever counted before.
    static PASS: Cell<u64> = const { Cell::new(UNDRAWN) };
}

const UNDRAWN: u64 = u64::MAX;

/// A decision that costs an answer a branch and a count: no lock, no random number, no memory that
/// threads share. The number is drawn once for all that are passed over.
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

    /// Whether this answer is one of the sample.
    #[inline]
    pub fn takes(&self) -> bool {
        if self.is_off() {
            return false;
        }
        match PASS.get() {
            0 => {
                PASS.set(self.draw());
                true
            }
            UNDRAWN => {
                PASS.set(self.draw());
                self.takes()
            }
            left => {
                PASS.set(left - 1);
                false
            }
        }
    }

    /// How often a coin that falls on its head with this ratio does not, in a row.
    #[cold]
    fn draw(&self) -> u64 {
        let uniform = 1.0 - rand::random::<f64>();
        let passed = uniform.ln() / (-self.ratio).ln_1p();
        (passed as u64).min(UNDRAWN - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(ratio: f64, of: u32) -> u32 {
        PASS.set(UNDRAWN);
        let sample = Sample::new(ratio);
        (0..of).map(|_| u32::from(sample.takes())).sum()
    }

    #[test]
    fn as_many_as_the_ratio_says() {
        assert_eq!(taken(0.0, 10_000), 0);
        assert_eq!(taken(1.0, 10_000), 10_000);
        // More than ten standard deviations to either side.
        assert!((4_400..5_600).contains(&taken(0.5, 10_000)));
        assert!((600..1_400).contains(&taken(0.001, 1_000_000)));
    }
}
