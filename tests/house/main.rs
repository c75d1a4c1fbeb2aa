//! The rules of the house: checks of the repository itself. They need no feature and no database.
//!
//! | file | checks that |
//! |---|---|
//! | `circles` | no files or folders of a crate use each other in a circle (`imports` finds the uses) |
//! | `citations` | `docs/design.md` defines each rule, promise and section that a file cites |
//! | `links` | links in the documentation lead somewhere |
//! | `mutants` | the table of mutants in `docs/testing.md` agrees with the code |
//! | `names` | a type name means one thing within a crate |
//! | `paths` | files that comments and documents name exist |
//! | `promises` | each promise names a test that exists |
//! | `sizes` | files and functions are short |
//!
//! Each test prints all of its findings. `tree` reads the files, `design` the design.

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
