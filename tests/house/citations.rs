//! Every rule, promise and section that a file cites is defined in `docs/design.md`.

use crate::assert_none;
use crate::design::Design;
use crate::tree::{File, files};
use regex::Regex;
use std::collections::BTreeSet;
use std::sync::LazyLock;

const EXTENSIONS: [&str; 6] = [".rs", ".md", ".proto", ".sql", ".toml", ".sh"];
const OTHERS: [&str; 3] = ["Makefile", ".ci/", "scripts/"];

static RULES: LazyLock<Regex> = LazyLock::new(|| list("[Rr]ules?[ -]", ""));
static PROMISES: LazyLock<Regex> = LazyLock::new(|| list("P", "P"));
static SECTIONS: LazyLock<Regex> = LazyLock::new(|| list("[Ss]ections? ", ""));

/// A pattern for numbers after a word, such as `rules 1, 2 and 4 to 6`.
fn list(word: &str, before_others: &str) -> Regex {
    let others = format!("(?:(?:,? (?:and|or|to) |, ){before_others}[0-9]+\\b)*");
    Regex::new(&format!("\\b{word}([0-9]+\\b{others})")).expect("a pattern")
}

#[test]
fn every_citation_is_defined() {
    let design = Design::read();
    let cites = |file: &File| {
        EXTENSIONS.iter().any(|end| file.path.ends_with(end))
            || OTHERS.iter().any(|start| file.path.starts_with(start))
    };
    let findings: Vec<String> =
        files().iter().filter(|file| cites(file)).flat_map(|file| check(file, &design)).collect();
    assert_none("cited, but not defined in docs/design.md", &findings);
}

#[test]
fn citations_are_found() {
    let design = Design { rules: [1].into(), promises: [1].into(), sections: [1].into() };
    let found = |text: &str| {
        check(&File { path: "a.rs".to_owned(), text: text.to_owned() }, &design).join(" ")
    };
    assert_eq!(found("rule 1, P1, section 1; rules 1 and 1"), "");
    assert_eq!(found("// as rules 1,\n// 1 and\n    /// 2 say"), "a.rs:1: rule 2");
    assert_eq!(found("\nP1 to P3"), "a.rs:2: P2 a.rs:2: P3");
    assert_eq!(found("(RFC 9113, section 6.5), section 7 of RFC 3"), "");
    assert_eq!(found("Section 6"), "a.rs:1: section 6");
}

fn check(file: &File, design: &Design) -> Vec<String> {
    let (text, lines) = unwrapped(&file.text);
    let mut findings = Vec::new();
    for (what, pattern, defined) in [
        ("rule ", &*RULES, &design.rules),
        ("P", &*PROMISES, &design.promises),
        ("section ", &*SECTIONS, &design.sections),
    ] {
        for found in pattern.captures_iter(&text) {
            let whole = found.get(0).expect("the match");
            if what == "section " && is_of_another_document(&text, whole.start(), whole.end()) {
                continue;
            }
            for number in numbers(&found[1]).difference(defined) {
                findings.push(format!("{}:{}: {what}{number}", file.path, lines[whole.start()]));
            }
        }
    }
    findings
}

/// The numbers in a text such as `1, 2 and 4 to 6`.
fn numbers(list: &str) -> BTreeSet<u32> {
    let mut all = BTreeSet::new();
    let (mut last, mut is_range) = (0, false);
    for word in list.split([' ', ',']) {
        is_range |= word == "to";
        if let Ok(number) = word.trim_start_matches('P').parse::<u32>() {
            all.extend(if is_range { last..=number } else { number..=number });
            (last, is_range) = (number, false);
        }
    }
    all
}

/// Whether a section belongs to an RFC.
fn is_of_another_document(text: &str, start: usize, end: usize) -> bool {
    let before = text[..start].chars().rev().take(20).collect::<String>();
    let after = text[end..].chars().take(20).collect::<String>();
    before.contains("CFR") || after.contains("of RFC")
}

/// The text in one line, without the marks of comments, and the line that each byte was in.
fn unwrapped(text: &str) -> (String, Vec<usize>) {
    let (mut joined, mut lines) = (String::new(), Vec::new());
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim().trim_start_matches(['/', '!', '#', '-', '*', '>']).trim_start();
        joined.push_str(line);
        joined.push(' ');
        lines.resize(joined.len(), number);
    }
    (joined, lines)
}
