//! Files and functions are short.

use crate::assert_none;
use crate::tree::{File, files};
use regex::Regex;
use std::sync::LazyLock;

const FILE_LINES: usize = 450;
const MEDIAN_FILE_LINES: usize = 150;
const FUNCTION_LINES: usize = 70;
const PAGE_LINES: usize = 200;

/// The first line of a function.
static HEAD: LazyLock<Regex> = LazyLock::new(|| {
    let before = r"(?:pub(?:\([^)]*\))? )?(?:(?:default|const|async|unsafe|extern \S+) )*";
    Regex::new(&format!("^( *){before}fn ([a-z_0-9]+)")).expect("a pattern")
});

#[test]
fn the_program_is_in_short_files_and_functions() {
    let findings = long_ones(File::is_program);
    assert_none("too long, in the program", &findings);
}

#[test]
fn tests_and_benchmarks_are_in_short_files_and_functions() {
    let findings = long_ones(|file| file.is_rust() && !file.is_program());
    assert_none("too long, in tests and benchmarks", &findings);
}

#[test]
fn half_of_the_files_are_shorter_still() {
    let files = files();
    let program = files.iter().filter(|file| file.is_program());
    let mut lengths: Vec<usize> = program.map(|file| file.text.lines().count()).collect();
    lengths.sort_unstable();
    let median = lengths[lengths.len() / 2];
    assert!(median <= MEDIAN_FILE_LINES, "the median of the program's files is {median} lines");
}

#[test]
fn front_pages_are_short() {
    let pages = |file: &File| ["README.md", "ARCHITECTURE.md"].contains(&file.path.as_str());
    let findings: Vec<String> =
        files().iter().filter(|file| pages(file)).filter_map(long_page).collect();
    assert_none("too long", &findings);
}

#[test]
fn functions_are_measured() {
    let text = "    fn a(\n        b: u8,\n    ) {\n        c\n    }\n    fn d() {}\nfn e();\n\
                fn f() {\n}\n";
    let found: Vec<_> = functions(text).map(|(name, _, lines)| (name, lines)).collect();
    assert_eq!(found, [("a", 5), ("f", 2)]);
}

fn long_page(file: &File) -> Option<String> {
    let lines = file.text.lines().count();
    (lines > PAGE_LINES).then(|| format!("{}: {lines} lines, {PAGE_LINES} allowed", file.path))
}

fn long_ones(wanted: impl Fn(&File) -> bool) -> Vec<String> {
    let mut findings = Vec::new();
    for file in files().iter().filter(|file| wanted(file)) {
        let (path, lines) = (&file.path, file.text.lines().count());
        if lines > FILE_LINES {
            findings.push(format!("{path}: {lines} lines, {FILE_LINES} allowed"));
        }
        for (name, line, lines) in functions(&file.text).filter(|found| found.2 > FUNCTION_LINES) {
            findings
                .push(format!("{path}:{line}: fn {name}: {lines} lines, {FUNCTION_LINES} allowed"));
        }
    }
    findings
}

/// The name, first line and length of each function that has more than one line. The text is formatted
/// by rustfmt, so a function ends at the first `}` with its own indentation.
fn functions(text: &str) -> impl Iterator<Item = (&str, usize, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    (0..lines.len()).filter_map(move |first| {
        let found = HEAD.captures(lines[first])?;
        let name = found.get(2)?.as_str();
        let opens = lines[first..].iter().find(|line| line.ends_with(['{', '}', ';']))?;
        let end = format!("{}}}", &found[1]);
        let length = 1 + lines[first..].iter().position(|line| *line == end)?;
        opens.ends_with('{').then_some((name, first + 1, length))
    })
}
