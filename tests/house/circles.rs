//! Within a crate, no files use each other in a circle, and no folders do.

use crate::assert_none;
use crate::imports::{Uses, uses_within};
use crate::tree::files;
use std::collections::{BTreeMap, BTreeSet};

const CRATES: [&str; 4] = ["src/", "crates/core/src/", "crates/wire/src/", "crates/load/src/"];

#[test]
fn files_do_not_use_each_other_in_a_circle() {
    let files = files();
    let findings: Vec<String> =
        CRATES.iter().flat_map(|src| circles(&uses_within(src, &files))).collect();
    assert_none("circles of files", &findings);
}

#[test]
fn folders_do_not_use_each_other_in_a_circle() {
    let files = files();
    let mut findings = Vec::new();
    for src in CRATES {
        let mut uses = Uses::new();
        for ((user, used), names) in uses_within(src, &files) {
            if let (Some(from), Some(to)) = (folder(src, &user), folder(src, &used))
                && from != to
            {
                let names = names.iter().map(|name| format!("{name} ({user})"));
                uses.entry((from, to)).or_default().extend(names);
            }
        }
        findings.extend(circles(&uses));
    }
    assert_none("circles of folders", &findings);
}

#[test]
fn circles_are_found() {
    let pairs = [("a", "b"), ("b", "c"), ("c", "a"), ("c", "d"), ("d", "e")];
    let uses: Uses =
        pairs.map(|(from, to)| ((from.to_owned(), to.to_owned()), ["X".to_owned()].into())).into();
    assert_eq!(circles(&uses), ["a -> b: X; b -> c: X; c -> a: X"]);
}

/// The folder below `src` that a file is in. A file `a.rs` there counts as part of the folder `a`.
/// `None` for `lib.rs`.
fn folder(src: &str, path: &str) -> Option<String> {
    let first = path.strip_prefix(src)?.split('/').next()?.trim_end_matches(".rs");
    (first != "lib").then(|| format!("{src}{first}"))
}

/// One line for each set of files that all reach each other.
fn circles(uses: &Uses) -> Vec<String> {
    let reached = reached(uses);
    let meet = |a: &str, b: &str| reached[a].contains(b) && reached[b].contains(a);
    let mut circles: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for ((from, to), names) in uses.iter().filter(|((from, to), _)| meet(from, to)) {
        let first = reached[&**from].iter().find(|other| meet(from, other)).copied();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        circles
            .entry(first.unwrap_or(from))
            .or_default()
            .push(format!("{from} -> {to}: {}", names.join(", ")));
    }
    circles.into_values().map(|edges| edges.join("; ")).collect()
}

/// All that each file uses, directly or through others.
fn reached(uses: &Uses) -> BTreeMap<&str, BTreeSet<&str>> {
    let mut next: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (from, to) in uses.keys() {
        next.entry(from).or_default().insert(to);
        next.entry(to).or_default();
    }
    let reach = |start| {
        let (mut found, mut open) = (BTreeSet::new(), vec![start]);
        while let Some(file) = open.pop() {
            open.extend(next[file].iter().filter(|other| found.insert(**other)).copied());
        }
        (start, found)
    };
    next.keys().copied().map(reach).collect()
}
