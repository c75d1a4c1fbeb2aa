//! The aliases of a batch, in one buffer.

/// What the ids of a batch, by index, are aliases of. The canonical ids lie one after another: half of
/// a batch may be aliases, and an allocation for each, or a count of who shares it, would cost more than
/// to look for it did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Aliases {
    places: Vec<Place>,
    canonical_ids: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    index: u32,
    start: u32,
    length: u32,
}

impl Aliases {
    /// The id at `index` is an alias of this one.
    pub fn push(&mut self, index: u32, canonical: &[u8]) {
        // 10,000 ids of 255 bytes are far from what 32 bits can count.
        let (start, length) = (self.canonical_ids.len() as u32, canonical.len() as u32);
        self.canonical_ids.extend_from_slice(canonical);
        self.places.push(Place { index, start, length });
    }

    /// In the order of the indexes.
    pub fn sort(&mut self) {
        self.places.sort_unstable_by_key(|place| place.index);
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = (u32, &[u8])> {
        self.places.iter().map(|&Place { index, start, length }| {
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
