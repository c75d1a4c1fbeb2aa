//! Within a crate, a type name means one thing.

use crate::assert_none;
use crate::tree::{files, program_src};
use regex::Regex;
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// The beginning of a type.
static HEAD: LazyLock<Regex> = LazyLock::new(|| {
    let head =
        r"^( *)(?:pub(?:\([^)]*\))? )?(?:unsafe )?(struct|enum|trait|type|union) ([A-Za-z_0-9]+)";
    Regex::new(head).expect("a pattern")
});

#[test]
fn each_type_name_means_one_thing() {
    let mut places: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
    for file in files().iter().filter(|file| file.is_program() && !is_stand_in(&file.path)) {
        let src = program_src(&file.path).unwrap_or_default();
        for (name, line) in types(&file.text) {
            let of_name = places.entry((src.to_owned(), name.to_owned())).or_default();
            of_name.push(format!("{}:{line}", file.path));
        }
    }
    places.retain(|_, places| places.len() > 1);
    let finding = |((_, name), places): (&(String, String), &Vec<String>)| {
        format!("{name}: {}", places.join(", "))
    };
    assert_none("defined more than once", &places.iter().map(finding).collect::<Vec<_>>());
}

#[test]
fn types_are_found() {
    let text = "pub struct A;\nimpl B for A {\n    type C = u8;\n}\nmod x {\n    enum D {}\n    \
                type E = u8;\n}\nimpl<T> F for A\nwhere\n    T: G,\n{\n    type H = T;\n}\n";
    let found: Vec<_> = types(text).map(|(name, _)| name).collect();
    assert_eq!(found, ["A", "D", "E"]);
}

/// Whether a file takes the place of another one, and so has its names. This one replaces
/// `sync/real.rs` in the interleavings.
fn is_stand_in(path: &str) -> bool {
    path == "crates/core/src/sync/explored.rs"
}

/// The types that a file defines, with their lines. Associated types are not among them.
fn types(text: &str) -> impl Iterator<Item = (&str, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    (0..lines.len()).filter_map(move |line| {
        let found = HEAD.captures(lines[line])?;
        let indentation = found[1].len();
        if &found[2] == "type" && is_in_impl_or_trait(&lines[..line], indentation) {
            return None;
        }
        Some((found.get(3)?.as_str(), line + 1))
    })
}

/// Whether these lines end inside an `impl` or a `trait`. `indentation` is that of the block's
/// content.
fn is_in_impl_or_trait(before: &[&str], indentation: usize) -> bool {
    let Some(outer) = indentation.checked_sub(4) else { return false };
    let is_head = |line: &&&str| {
        let content = line.trim_start();
        line.len() - content.len() == outer
            && content.starts_with(|first: char| first.is_alphabetic())
            && !content.starts_with("where")
    };
    let block = before.iter().rev().find(is_head);
    block.is_some_and(|line| {
        let line = line.trim_start();
        line.starts_with("impl") || line.starts_with("unsafe impl") || line.contains("trait ")
    })
}
