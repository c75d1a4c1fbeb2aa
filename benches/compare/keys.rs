//! The keys and values that every server is given: those of `aka bench`.

/// As many as fit into every cache.
pub const COUNT: u32 = 100_000;

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

/// Numbers below `COUNT` in an order that has none. SplitMix64.
pub struct Draw(u64);

impl Draw {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^= mixed >> 31;
        ((u128::from(mixed) * u128::from(COUNT)) >> 64) as u32
    }
}
