//! What a lookup of the page is answered, as JSON.

use crate::metrics::{LookupResult, Lookups};
use aka_core::coherence::Outcome;
use aka_core::domain::{ForwardRow, Micros};
use serde::Serialize;

/// The answer to a lookup.
#[derive(Serialize)]
pub(super) struct LookupAnswer {
    /// As text, as are versions: JavaScript's numbers do not hold all of them.
    pub project_id: String,
    pub id: String,
    pub kind: IdKind,
    /// What events of this id are stored under: itself, if it is no alias.
    pub canonical_id: String,
    pub found: FoundBy,
    pub place: HomeOfId,
    pub canonical_place: HomeOfId,
    /// The alias's own row, as it is in the database. `None` if it is no alias.
    pub alias: Option<RowView>,
    /// The aliases of the canonical id, sorted by the bytes of their ids. `None`: see `trouble`.
    pub aliases: Option<Vec<ListedAlias>>,
    /// Where the list goes on. Empty at its end.
    pub next_page_token: String,
    /// What could not be found out, and what to do.
    pub trouble: Option<String>,
    /// Why the id can never be an alias.
    pub never: Option<String>,
}

/// What an id is.
#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum IdKind {
    Alias,
    /// Canonical for at least one other id.
    Canonical,
    /// Neither: it stands for itself alone.
    Alone,
    /// Not an alias, and whether it is canonical for others could not be found out.
    Unlisted,
    /// It cannot be an alias.
    Never,
}

/// How the answer was found.
#[derive(Serialize)]
pub(super) struct FoundBy {
    /// `memory`, `database`, `stale` (memory, because the database does not answer) or `rule` (the
    /// id can never be an alias).
    source: &'static str,
    /// The label of `aka_lookups_total`.
    outcome: &'static str,
    /// How long the lookup itself took.
    pub took_us: u64,
}

impl FoundBy {
    pub fn new(result: LookupResult, took: std::time::Duration) -> Self {
        let source = match result {
            LookupResult::Invalid => "rule",
            LookupResult::Answered(Outcome::Filtered | Outcome::Hit | Outcome::NegativeHit) => {
                "memory"
            }
            LookupResult::Answered(Outcome::Degraded) => "stale",
            LookupResult::Answered(_) | LookupResult::Failed(_) => "database",
        };
        let took_us = took.as_micros().try_into().unwrap_or(u64::MAX);
        Self { source, outcome: Lookups::label(result), took_us }
    }
}

/// Where an id lives.
#[derive(Clone, Copy, Serialize)]
pub(super) struct HomeOfId {
    pub slot: u16,
    /// `None`: the shard that owns the slot has not been reached since the start.
    pub shard: Option<u16>,
}

/// A row of the table `alias`. Times are microseconds since 1970, by the database's clock.
#[derive(Serialize)]
pub(super) struct RowView {
    version: String,
    created_us: i64,
    updated_us: i64,
}

impl RowView {
    pub fn of(row: &ForwardRow) -> Self {
        let (Micros(created_us), Micros(updated_us)) = (row.created, row.updated);
        Self { version: row.version.to_string(), created_us, updated_us }
    }
}

/// An alias in the list of its canonical id.
#[derive(Serialize)]
pub(super) struct ListedAlias {
    pub id: String,
    #[serde(flatten)]
    pub row: RowView,
    #[serde(flatten)]
    pub place: HomeOfId,
}
