//! The ids of a run, and the right answer for each of them.
//!
//! Both follow from the id's number, so answers are checked without a table. Number 26 is
//! `bench-000000000000001a`. If it is an alias, its canonical id is `user-000000000000001a`.

/// The length of every id that is asked for, in bytes.
pub(crate) const ID_LENGTH: usize = 22;
const CANONICAL_LENGTH: usize = 21;

/// An id of the run, as a number. It is one of an [`IdSet`], or comes from [`UnseenIds`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoadId(u64);

/// This bit is set in the numbers of unseen ids.
const UNSEEN: u64 = 1 << 63;

impl LoadId {
    /// The id with this number in an [`IdSet`].
    #[inline]
    pub const fn known(number: u32) -> Self {
        Self(number as u64)
    }

    /// Whether it comes from [`UnseenIds`].
    #[inline]
    pub fn is_unseen(self) -> bool {
        self.0 & UNSEEN != 0
    }

    /// The bytes of the id, as a lookup sends them.
    #[inline]
    pub fn id(self) -> [u8; ID_LENGTH] {
        named(if self.is_unseen() { b"fresh-" } else { b"bench-" }, self.0)
    }

    /// The canonical id that it resolves to if it is an alias.
    #[inline]
    pub fn canonical(self) -> [u8; CANONICAL_LENGTH] {
        named(b"user-", self.0)
    }

    /// The alias that a run creates for this number. No run looks it up.
    pub(crate) fn created(self) -> [u8; ID_LENGTH] {
        named(b"added-", self.0)
    }
}

/// A prefix and a number in hexadecimal. It is written by hand, because `format!` would cost more
/// than the rest of a request.
#[inline]
fn named<const PREFIX: usize, const LENGTH: usize>(
    prefix: &[u8; PREFIX],
    number: u64,
) -> [u8; LENGTH] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut id = [0; LENGTH];
    id[..PREFIX].copy_from_slice(prefix);
    for (position, digit) in (0..16).rev().zip(&mut id[PREFIX..]) {
        *digit = DIGITS[(number >> (4 * position)) as usize & 15];
    }
    id
}

/// `ratio` (0 to 1) as a part of 2^64. A random 64-bit number is below it with this probability.
pub(crate) fn share(ratio: f64) -> u128 {
    (ratio * 2_f64.powi(64)) as u128
}

/// The ids that are asked for, and which of them are aliases.
#[derive(Clone, Copy, Debug)]
pub struct IdSet {
    /// How many ids there are. Their numbers start at 0.
    pub count: u32,
    /// The share of aliases, as a part of 2^64.
    aliases: u128,
}

impl IdSet {
    /// `count` ids. `aliases` is the share of them that are aliases, 0 to 1.
    pub fn new(count: u32, aliases: f64) -> Self {
        Self { count, aliases: share(aliases) }
    }

    /// Whether the id is an alias.
    ///
    /// Multiples of the golden ratio are spread evenly. So the share of aliases is also right among
    /// the few ids that a skewed run asks for most.
    #[inline]
    pub fn is_alias(&self, id: LoadId) -> bool {
        !id.is_unseen() && u128::from(id.0.wrapping_mul(0x9E37_79B9_7F4A_7C15)) < self.aliases
    }

    /// All ids, in the order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = LoadId> + use<> {
        (0..self.count).map(LoadId::known)
    }

    /// The ids that are aliases.
    pub fn aliases(&self) -> impl Iterator<Item = LoadId> + use<> {
        let ids = *self;
        ids.iter().filter(move |&id| ids.is_alias(id))
    }
}

/// Ids that no other run asks for, nor another thread of this run.
#[derive(Clone, Debug)]
pub struct UnseenIds(u64);

impl UnseenIds {
    /// `run`: a random number, of which 23 bits are used. `thread`: a number for each source of ids
    /// in the run, below 256.
    pub fn new(run: u32, thread: u16) -> Self {
        // 23 bits of the run, 8 of the thread, 32 of a count.
        let run = u64::from(run & 0x7F_FFFF) << 40;
        Self(UNSEEN | run | (u64::from(thread & 0xFF) << 32))
    }

    /// The next id.
    #[inline]
    pub fn next_id(&mut self) -> LoadId {
        self.0 += 1;
        LoadId(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_canonical_ids_follow_from_numbers() {
        assert_eq!(&LoadId::known(26).id(), b"bench-000000000000001a");
        assert_eq!(&LoadId::known(26).canonical(), b"user-000000000000001a");
        let mut unseen = UnseenIds::new(1, 2);
        assert_eq!(&unseen.next_id().id(), b"fresh-8000010200000001");
        assert_eq!(&unseen.next_id().created(), b"added-8000010200000002");
    }

    #[test]
    fn the_share_of_aliases_is_as_asked_for_among_any_ids() {
        for ratio in [0.0, 0.1, 0.5, 1.0] {
            let ids = IdSet::new(10_000, ratio);
            let among =
                |from, to| (from..to).filter(|&n| ids.is_alias(LoadId::known(n))).count() as f64;
            assert!((among(0, 10_000) - 10_000.0 * ratio).abs() < 5.0);
            assert!((among(500, 600) - 100.0 * ratio).abs() < 3.0);
            assert_eq!(ids.aliases().count() as f64, among(0, 10_000));
        }
    }
}
