//! The page on the operations port, `/ui`: for people who ask why two ids are one person.
//!
//! It changes nothing. Its files are built into the program ([`file()`]). What it looks up goes through
//! the gate of the calls and through [`LookupDesk`]; how the shards are it reads from `/status`.
//!
//! Invariants: an id leaves here only as JSON, and the script shows it only as text; no id and no
//! token is ever part of an address; what a browser sends for another site is refused (`origin`).

mod answer;
mod desk;
mod fault;
mod files;
mod form;
mod origin;
mod reply;

pub use desk::{DeskParts, LookupDesk, look_up};
pub use files::file;
pub use origin::Visitor;

/// Where lookups are asked for.
pub const LOOKUP_PATH: &str = "/ui/lookup";
