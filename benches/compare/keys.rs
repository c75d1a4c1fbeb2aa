//! The keys and values that every server is given: those of `aka bench`.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::sync::LazyLock;

/// As many as fit into every cache.
pub const COUNT: u32 = 1_000_000;

/// Key k is asked for in proportion to 1 / k^s.
pub const ZIPF: f64 = 0.99;

/// Key 26 is `bench-000000000000001a`.
pub fn id(number: u32) -> String {
    format!("bench-{number:016x}")
}

/// What it is an alias of, where it is one.
pub fn canonical(number: u32) -> String {
    format!("user-{number:016x}")
}

/// The rule of `aka bench --aliases`.
pub fn is_alias(number: u32, ratio: f64) -> bool {
    let spread = u64::from(number).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    u128::from(spread) < (ratio * 2_f64.powi(64)) as u128
}

/// Drawn beforehand, and before anything is measured: two powers for each number would cost more
/// than all else that is done for it.
static SAMPLES: LazyLock<Vec<u32>> = LazyLock::new(|| {
    let mut random = StdRng::seed_from_u64(1);
    // The inverse of the integral of 1 / x^s, without the rejection that would make it exact.
    let power = 1.0 - ZIPF;
    let area = |x: f64| (x.powf(power) - 1.0) / power;
    let (first, last) = (area(0.5), area(f64::from(COUNT) + 0.5));
    let sample = |_| {
        let at = first + random.random::<f64>() * (last - first);
        let x = (1.0 + at * power).powf(1.0 / power);
        (x.round() as u32).clamp(1, COUNT) - 1
    };
    (0..1 << 20).map(sample).collect()
});

/// Numbers below `COUNT`, skewed as those of `aka bench --zipf`.
pub struct Draw(usize);

impl Draw {
    /// Each seed begins elsewhere.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) as usize % SAMPLES.len())
    }

    pub fn next(&mut self) -> u32 {
        self.0 = (self.0 + 1) % SAMPLES.len();
        SAMPLES[self.0]
    }
}
