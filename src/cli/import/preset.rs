//! The identity events of other programs, and which of their ids stands for which.
//!
//! The directions are facts of those programs, and easy to get wrong: a test pins each.

use super::mapping::Fact;
use clap::ValueEnum;

/// Whose events the rows are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Preset {
    /// alias: previousId stands for userId; identify: anonymousId stands for userId
    Segment,
    /// $create_alias: alias stands for distinct_id; $identify: $anon_id stands for $identified_id
    Mixpanel,
    /// $identify: $anon_distinct_id stands for distinct_id; $create_alias and $merge_dangerously:
    /// alias stands for distinct_id
    Posthog,
}

impl Preset {
    /// The fields that may say which event a row is.
    pub(super) fn event_fields(self) -> &'static [&'static str] {
        match self {
            Self::Segment => &["type"],
            Self::Mixpanel | Self::Posthog => &["event"],
        }
    }

    /// The kinds of events that name an alias. Where a program's own export has other names for the
    /// fields than its events have, both are here.
    pub(super) fn facts(self) -> Vec<Fact> {
        match self {
            Self::Segment => vec![
                Fact::of(&["alias"], &["previousId", "previous_id"], &["userId", "user_id"]),
                Fact::of(&["identify"], &["anonymousId", "anonymous_id"], &["userId", "user_id"])
                    .if_both(),
            ],
            Self::Mixpanel => vec![
                Fact::of(
                    &["$create_alias"],
                    &["properties.alias", "alias"],
                    &["properties.distinct_id", "distinct_id"],
                ),
                Fact::of(
                    &["$identify"],
                    &["properties.$anon_id", "$anon_id"],
                    &["properties.$identified_id", "$identified_id"],
                )
                .if_both(),
            ],
            Self::Posthog => vec![
                Fact::of(
                    &["$identify"],
                    &["properties.$anon_distinct_id", "$anon_distinct_id"],
                    &["distinct_id", "properties.distinct_id"],
                )
                .if_both(),
                Fact::of(
                    &["$create_alias", "$merge_dangerously"],
                    &["properties.alias", "alias"],
                    &["distinct_id", "properties.distinct_id"],
                ),
            ],
        }
    }
}
