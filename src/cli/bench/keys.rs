//! The ids of a run, and what each of them must resolve to.
//!
//! All follows from the number of a key, so that every answer can be checked without a table: key 26
//! is `bench-000000000000001a`, and if it is an alias it is one of `user-000000000000001a`.

use super::zipf::{Random, Zipf};

/// The length of every id that is asked for.
pub(super) const ID_LENGTH: usize = 22;
const CANONICAL_LENGTH: usize = 21;

/// Samples of a skewed draw that are made beforehand: a logarithm for each id would cost more than
/// all else that is done for it.
const TABLE: usize = 1 << 20;

/// One key in so many of the table is drawn anew as it is used, so that a long run is no loop.
const RENEW: usize = 8;

/// A key of the run: its number, or one that nobody has asked for before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key(u64);

/// Numbers of fresh keys have this bit.
const FRESH: u64 = 1 << 63;

impl Key {
    pub const fn known(number: u32) -> Self {
        Self(number as u64)
    }

    pub fn is_fresh(self) -> bool {
        self.0 & FRESH != 0
    }

    pub fn id(self) -> [u8; ID_LENGTH] {
        named(if self.is_fresh() { b"fresh-" } else { b"bench-" }, self.0)
    }

    /// The id that the key stands for where it is an alias.
    pub fn canonical(self) -> [u8; CANONICAL_LENGTH] {
        named(b"user-", self.0)
    }

    /// The same key as an alias that a run creates, which no run reads.
    pub fn made(self) -> [u8; ID_LENGTH] {
        named(b"added-", self.0)
    }
}

fn named<const PREFIX: usize, const LENGTH: usize>(
    prefix: &[u8; PREFIX],
    number: u64,
) -> [u8; LENGTH] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut id = [0; LENGTH];
    id[..PREFIX].copy_from_slice(prefix);
    for (place, digit) in (0..16).rev().zip(&mut id[PREFIX..]) {
        *digit = DIGITS[(number >> (4 * place)) as usize & 15];
    }
    id
}

/// Which keys there are, and which of them are aliases.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keys {
    pub count: u32,
    /// Of 2^64.
    aliases: u128,
}

impl Keys {
    pub fn new(count: u32, aliases: f64) -> Self {
        Self { count, aliases: (aliases * 2_f64.powi(64)) as u128 }
    }

    /// Multiples of the golden ratio are as evenly spread as can be, so the share of aliases is right
    /// among the few keys that a skewed run asks for most, too.
    pub fn is_alias(&self, key: Key) -> bool {
        !key.is_fresh() && u128::from(key.0.wrapping_mul(0x9E37_79B9_7F4A_7C15)) < self.aliases
    }

    pub fn aliases(&self) -> impl Iterator<Item = Key> + use<> {
        let keys = *self;
        (0..keys.count).map(Key::known).filter(move |&key| keys.is_alias(key))
    }
}

/// Numbers that no other run, and no other thread of this one, has.
#[derive(Clone, Debug)]
pub(super) struct Fresh(u64);

impl Fresh {
    pub fn new(run: u32, thread: u16) -> Self {
        // 23 bits of the run, 8 of the thread, 32 of a count.
        let run = u64::from(run & 0x7F_FFFF) << 40;
        Self(FRESH | run | (u64::from(thread & 0xFF) << 32))
    }

    pub fn next(&mut self) -> Key {
        self.0 += 1;
        Key(self.0)
    }
}

/// Draws the keys that one thread asks for.
pub(super) struct Draw {
    keys: Keys,
    random: Random,
    /// Of 2^64.
    cold: u128,
    fresh: Fresh,
    skewed: Option<Skewed>,
}

struct Skewed {
    zipf: Zipf,
    table: Vec<u32>,
    at: usize,
}

impl Draw {
    pub fn new(keys: Keys, zipf: f64, cold: f64, seed: u64, fresh: Fresh) -> Self {
        let mut random = Random::new(seed);
        let skewed = (zipf > 0.0).then(|| {
            let zipf = Zipf::new(keys.count, zipf);
            let table = (0..TABLE).map(|_| zipf.sample(&mut random)).collect();
            Skewed { zipf, table, at: 0 }
        });
        Self { keys, random, cold: (cold * 2_f64.powi(64)) as u128, fresh, skewed }
    }

    pub fn next(&mut self) -> Key {
        if self.cold > 0 && u128::from(self.random.next()) < self.cold {
            return self.fresh.next();
        }
        let Some(Skewed { zipf, table, at }) = &mut self.skewed else {
            return Key::known(self.random.below(self.keys.count));
        };
        *at = (*at + 1) % TABLE;
        if *at % RENEW == 0 {
            // Not this place, which would be drawn anew at every round: any.
            let place = self.random.below(TABLE as u32) as usize;
            table[place] = zipf.sample(&mut self.random);
        }
        Key::known(table[*at])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_from_numbers() {
        assert_eq!(&Key::known(26).id(), b"bench-000000000000001a");
        assert_eq!(&Key::known(26).canonical(), b"user-000000000000001a");
        let mut fresh = Fresh::new(1, 2);
        assert_eq!(&fresh.next().id(), b"fresh-8000010200000001");
        assert_eq!(&fresh.next().made(), b"added-8000010200000002");
    }

    #[test]
    fn the_share_of_aliases_is_as_asked_for_among_any_keys() {
        for ratio in [0.0, 0.1, 0.5, 1.0] {
            let keys = Keys::new(10_000, ratio);
            let among = |keys: &Keys, from, to| {
                (from..to).filter(|&n| keys.is_alias(Key::known(n))).count() as f64
            };
            assert!((among(&keys, 0, 10_000) - 10_000.0 * ratio).abs() < 5.0);
            assert!((among(&keys, 500, 600) - 100.0 * ratio).abs() < 3.0);
            assert_eq!(keys.aliases().count() as f64, among(&keys, 0, 10_000));
        }
    }

    #[test]
    fn draws_are_in_bounds_repeatable_and_as_cold_as_asked_for() {
        let keys = Keys::new(100, 0.5);
        for zipf in [0.0, 1.0] {
            let draw = || {
                let mut draw = Draw::new(keys, zipf, 0.25, 7, Fresh::new(1, 1));
                (0..10_000).map(|_| draw.next()).collect::<Vec<_>>()
            };
            let drawn = draw();
            assert_eq!(drawn, draw());
            let cold = drawn.iter().filter(|key| key.is_fresh()).count();
            assert!((2_300..2_700).contains(&cold), "{cold}");
            assert!(drawn.iter().all(|key| key.is_fresh() || key.0 < 100));
            assert!(!drawn.iter().any(|&key| key.is_fresh() && keys.is_alias(key)));
        }
    }
}
