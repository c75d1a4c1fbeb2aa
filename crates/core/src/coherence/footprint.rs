//! Footprints: hashes that stand for keys in the cache.
//!
//! Invariant: no two keys of a process have the same footprint, because the cache does not compare
//! the keys themselves.

use crate::domain::Key;
use siphasher::sip128::{Hasher128, SipHasher13};
use std::fmt;
use std::hash::{Hash, Hasher};

/// 128 bits of SipHash-1-3 (J.-P. Aumasson, D. J. Bernstein, 2012) over project and id, with a
/// random key: of each process, or of a folder of snapshots.
///
/// Two keys with one footprint would get each other's answers. With ten million remembered keys
/// and 10^15 lookups of other keys, the probability of one collision is 3 in 10^17. Nobody can
/// search for collisions either: SipHash is designed so that they cannot be found without its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Footprint {
    hash: u64,
    check: u64,
}

impl Footprint {
    /// The footprint with these halves.
    pub(super) fn of(hash: u64, check: u64) -> Self {
        Self { hash, check }
    }

    /// The half that chooses the stripe and the place in moka.
    #[inline]
    pub(super) fn hash(self) -> u64 {
        self.hash
    }

    /// The half that chooses the place in the hot table.
    #[inline]
    pub(super) fn check(self) -> u64 {
        self.check
    }
}

impl Hash for Footprint {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl fmt::Display for Footprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}{:016x}", self.hash, self.check)
    }
}

/// Makes footprints with one key.
pub(super) struct Footprints(SipHasher13);

impl Footprints {
    pub fn keyed(key: u64, more_key: u64) -> Self {
        Self(SipHasher13::new_with_keys(key, more_key))
    }

    #[inline]
    pub fn of(&self, project: u64, id: &[u8]) -> Footprint {
        let mut hasher = self.0;
        hasher.write(&project.to_le_bytes());
        hasher.write(id);
        let hash = hasher.finish128();
        Footprint { hash: hash.h1, check: hash.h2 }
    }

    pub fn of_key(&self, key: &Key) -> Footprint {
        self.of(key.project().get(), key.id().as_bytes())
    }
}
