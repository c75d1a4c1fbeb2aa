//! Who may do what.

use std::fmt;
use std::time::SystemTime;

/// What a principal may do. Each may do all that the one before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum PrincipalRole {
    /// Resolve, get and list.
    Reader,
    /// Create, update and delete, too.
    Writer,
    /// What changes many rows or shows all projects, too.
    Admin,
}

impl PrincipalRole {
    /// Its name in the file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Reader => "reader",
            Self::Writer => "writer",
            Self::Admin => "admin",
        }
    }

    /// The role with this name.
    pub fn of_name(name: &str) -> Option<Self> {
        [Self::Reader, Self::Writer, Self::Admin].into_iter().find(|role| role.name() == name)
    }
}

impl fmt::Display for PrincipalRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The projects that a principal may ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProjectSet {
    All,
    /// These, sorted.
    Some(Box<[u64]>),
}

impl ProjectSet {
    /// Whether a project is among them.
    pub fn contains(&self, project: u64) -> bool {
        match self {
            Self::All => true,
            Self::Some(projects) => projects.binary_search(&project).is_ok(),
        }
    }
}

impl fmt::Display for ProjectSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Some(projects) = self else { return f.write_str("*") };
        for (index, project) in projects.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{project}")?;
        }
        Ok(())
    }
}

/// Somebody who calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    pub name: String,
    pub role: PrincipalRole,
    pub projects: ProjectSet,
    /// From then on its credentials are worth nothing.
    pub not_after: Option<SystemTime>,
}

impl Principal {
    /// Whether its time is over. The clock is only asked if it has an end.
    #[inline]
    pub fn is_expired(&self) -> bool {
        self.not_after.is_some_and(|end| SystemTime::now() >= end)
    }
}
