//! Projects: the tenants of aka.

use std::fmt;

/// A tenant: a number from 1 to 2^63 − 1. Two projects share nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Project(u64);

impl Project {
    /// `None` for 0 and for numbers above 2^63 − 1, which do not fit a signed column.
    #[inline]
    pub fn new(project: u64) -> Option<Self> {
        (1..=i64::MAX as u64).contains(&project).then_some(Self(project))
    }

    /// The number.
    #[inline]
    pub fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Project {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn projects_fit_a_signed_column() {
        assert!(Project::new(0).is_none());
        assert!(Project::new(1).is_some());
        assert!(Project::new(i64::MAX as u64).is_some());
        assert!(Project::new(i64::MAX as u64 + 1).is_none());
    }
}
