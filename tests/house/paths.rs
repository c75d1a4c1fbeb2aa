//! Files and folders that comments and documents name in backticks exist.

use crate::assert_none;
use crate::tree::{File, files, root};
use regex::Regex;
use std::sync::LazyLock;

/// A path that begins with a folder of the repository, or of a crate.
static PATH: LazyLock<Regex> = LazyLock::new(|| {
    let folders = "src|crates|tests|benches|docs|proto|migrations|deploy|scripts";
    Regex::new(&format!("`((?:{folders})/[A-Za-z0-9_./-]+)`")).expect("a pattern")
});

/// Where old names are right.
const HISTORY: &str = "CHANGELOG.md";

/// `src` names two files that have moved. When they are corrected, this goes.
const NOT_YET: &str = "src/";

#[test]
fn files_that_are_named_exist() {
    let has_prose = |path: &str| [".rs", ".md", ".toml"].iter().any(|end| path.ends_with(end));
    let is_left_out = |path: &str| path == HISTORY || path.starts_with(NOT_YET);
    let findings: Vec<String> = files()
        .iter()
        .filter(|file| has_prose(&file.path) && !is_left_out(&file.path))
        .flat_map(missing)
        .collect();
    assert_none("files that do not exist", &findings);
}

#[test]
fn missing_files_are_found() {
    let found = |text: &str| {
        let (path, text) = ("crates/core/src/a.rs".to_owned(), text.replace('"', "`"));
        missing(&File { path, text })
    };
    assert_eq!(found(r#""docs/design.md", "src/sync", "Cargo.toml", "a/b""#), [""; 0]);
    assert_eq!(found("\n\"src/gone.rs\""), ["crates/core/src/a.rs:2: src/gone.rs"]);
}

/// The paths in a file that lead nowhere, from the root and from the file's own crate.
fn missing(file: &File) -> Vec<String> {
    let is_there = |path: &str| {
        let of_crate = file.path.split_inclusive('/').take(2).collect::<String>();
        root().join(path).exists() || root().join(of_crate).join(path).exists()
    };
    let lines = (1..).zip(file.text.lines());
    let named = lines.flat_map(|(number, line)| {
        let paths = PATH.captures_iter(line).map(|found| found[1].to_owned());
        paths.map(move |path| (number, path))
    });
    let lost = named.filter(|(_, path)| !is_there(path));
    lost.map(|(number, path)| format!("{}:{number}: {path}", file.path)).collect()
}
