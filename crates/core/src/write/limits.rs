//! How long a write may take between its two steps, and when its inverse row is an orphan.

use std::time::Duration;

/// How long after its beginning a write may still begin its second step.
pub const STEP_LIMIT: Duration = Duration::from_secs(5);

/// The age, by the shard's clock, at which an inverse row without a forward row is an orphan.
///
/// The second step of its write begins within [`STEP_LIMIT`] or never. The rest is margin.
pub const ORPHAN_AGE: Duration = Duration::from_secs(3_600);
