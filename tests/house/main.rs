//! The rules of the house: what must hold of the repository itself. Needs no feature and no
//! database.
//!
//! Each test prints all of its findings.

mod circles;
mod citations;
mod design;
mod imports;
mod links;
mod mutants;
mod names;
mod promises;
mod sizes;
mod tree;

/// Fails if there is a finding, and shows all of them.
#[track_caller]
fn assert_none(what: &str, findings: &[String]) {
    assert!(findings.is_empty(), "{what} ({}):\n  {}", findings.len(), findings.join("\n  "));
}
