//! Random numbers, even or skewed by Zipf's law.

/// A SplitMix64 generator. A number costs a few instructions, and a seed always gives the same
/// numbers.
#[derive(Clone, Debug)]
pub(crate) struct SplitMix(u64);

impl SplitMix {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 to below 1, with all 53 bits of an `f64`.
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A number below `bound`. The bias is one in 2^64 / `bound`.
    pub fn below(&mut self, bound: u32) -> u32 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u32
    }
}

/// Draws numbers from 0 on. Number k comes in proportion to 1 / (k + 1)^s.
///
/// Rejection-inversion (Hörmann and Derflinger, 1996): exact for every s above 0, without a table
/// of all numbers.
#[derive(Clone, Debug)]
pub(crate) struct Zipf {
    count: f64,
    s: f64,
    area_first: f64,
    area_last: f64,
    sure: f64,
}

impl Zipf {
    pub fn new(count: u32, s: f64) -> Self {
        let count = f64::from(count);
        let mut zipf = Self { count, s, area_first: 0.0, area_last: 0.0, sure: 0.0 };
        zipf.area_first = zipf.area(1.5) - 1.0;
        zipf.area_last = zipf.area(count + 0.5);
        zipf.sure = 2.0 - zipf.area_inverse(zipf.area(2.5) - zipf.density(2.0));
        zipf
    }

    pub fn sample(&self, random: &mut SplitMix) -> u32 {
        loop {
            let area = self.area_last + random.unit() * (self.area_first - self.area_last);
            let x = self.area_inverse(area);
            let k = (x + 0.5).floor().clamp(1.0, self.count);
            // Nearly always one of these holds at the first attempt.
            if k - x <= self.sure || area >= self.area(k + 0.5) - self.density(k) {
                return k as u32 - 1;
            }
        }
    }

    fn density(&self, x: f64) -> f64 {
        (-self.s * x.ln()).exp()
    }

    /// An integral of the density, in a form that also holds for s = 1.
    fn area(&self, x: f64) -> f64 {
        let log = x.ln();
        let t = (1.0 - self.s) * log;
        let ratio = if t.abs() > 1e-8 { t.exp_m1() / t } else { 1.0 + t / 2.0 };
        ratio * log
    }

    fn area_inverse(&self, area: f64) -> f64 {
        // Rounding may lead to just below −1, where the logarithm does not exist.
        let t = (area * (1.0 - self.s)).max(-1.0);
        let ratio = if t.abs() > 1e-8 { t.ln_1p() / t } else { 1.0 - t / 2.0 };
        (ratio * area).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_follow_zipfs_law() {
        const COUNT: u32 = 1_000;
        const SAMPLES: u32 = 200_000;
        for s in [0.5, 0.99, 1.0, 1.5] {
            let (zipf, mut random) = (Zipf::new(COUNT, s), SplitMix::new(7));
            let mut seen = vec![0_u32; COUNT as usize];
            for _ in 0..SAMPLES {
                seen[zipf.sample(&mut random) as usize] += 1;
            }
            let weight = |k: usize| ((k + 1) as f64).powf(-s);
            let whole: f64 = (0..COUNT as usize).map(weight).sum();
            for k in [0, 1, 2, 9, 99] {
                let meant = f64::from(SAMPLES) * weight(k) / whole;
                // Five standard deviations: the seed is fixed, so this holds always or never.
                let off = (f64::from(seen[k]) - meant).abs();
                assert!(off < 5.0 * meant.sqrt(), "s {s}, k {k}: {} for {meant}", seen[k]);
            }
        }
    }

    #[test]
    fn a_set_of_one_number_draws_that_number() {
        let (zipf, mut random) = (Zipf::new(1, 1.1), SplitMix::new(1));
        assert!((0..100).all(|_| zipf.sample(&mut random) == 0));
        assert!((0..100).all(|_| random.below(1) == 0));
    }
}
