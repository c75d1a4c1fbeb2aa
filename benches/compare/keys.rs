//! The ids and values that every server holds. They are those of `aka bench`.

use aka_load::{DrawnIds, IdSet, LoadId, UnseenIds};

/// How many ids there are. All of them fit into every cache.
pub const COUNT: u32 = 1_000_000;

/// The skew s: id k is asked for in proportion to 1 / k^s.
pub const ZIPF: f64 = 0.99;

/// All ids. `aliases` is the share of them that are aliases.
pub fn all(aliases: f64) -> IdSet {
    IdSet::new(COUNT, aliases)
}

/// Draws ids with the skew of [`ZIPF`], the same ones in each run.
pub fn drawn() -> DrawnIds {
    DrawnIds::new(all(0.0), ZIPF, 0.0, 1, UnseenIds::new(0, 0))
}

/// The id as text.
pub fn id(id: LoadId) -> String {
    String::from_utf8_lossy(&id.id()).into_owned()
}

/// The canonical id as text.
pub fn canonical(id: LoadId) -> String {
    String::from_utf8_lossy(&id.canonical()).into_owned()
}
