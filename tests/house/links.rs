//! Relative links, anchors and paths in the documentation and in comments lead somewhere.

use crate::assert_none;
use crate::tree::{exists, files, read, root};
use regex::Regex;
use std::collections::HashMap;
use std::path::Path;
use std::sync::LazyLock;

static PATH: LazyLock<Regex> = LazyLock::new(|| {
    let folder = "src|crates|tests|benches|docs|scripts|migrations|proto|deploy|clients";
    Regex::new(&format!(r"`((?:{folder})/[\w./-]*)(?:\{{([\w,]+)\}})?`")).expect("a pattern")
});

#[test]
fn links_lead_somewhere() {
    let mut findings = Vec::new();
    for file in files().iter().filter(|file| file.path.ends_with(".md")) {
        let text = without_code(&file.text);
        for link in links(&text) {
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if path.is_empty() {
                file.path.clone()
            } else {
                Path::new(&file.path).with_file_name(path).display().to_string()
            };
            if !exists(&target) {
                findings.push(format!("{}: {link}: there is no such file", file.path));
            } else if !anchor.is_empty()
                && root().join(&target).is_file()
                && !anchors(&read(&target)).contains(&anchor.to_owned())
            {
                findings.push(format!("{}: {link}: there is no such heading", file.path));
            }
        }
    }
    assert_none("links", &findings);
}

/// A file that was moved or renamed is still named where somebody explains it.
#[test]
fn paths_lead_somewhere() {
    let mut findings = Vec::new();
    for file in files() {
        let is_page = file.path.ends_with(".md") && file.path != "CHANGELOG.md";
        for line in file.text.lines().filter(|line| is_page || line.trim().starts_with("//")) {
            let lost = paths(line).into_iter().filter(|path| !exists(path));
            findings.extend(lost.map(|path| format!("{}: there is no {path}", file.path)));
        }
    }
    assert_none("paths", &findings);
}

#[test]
fn paths_are_found() {
    let line = "`src/a.rs`, `migrations/{mysql,sqlite}`, `make test`, src/b.rs, `tests/it/c/`";
    assert_eq!(paths(line), ["src/a.rs", "migrations/mysql", "migrations/sqlite", "tests/it/c/"]);
}

#[test]
fn anchors_are_as_on_the_web() {
    let text = "# A `b`: c, d_e\n```\n# no\n```\n## Rule 7: epochs\n## Rule 7: epochs\n";
    assert_eq!(anchors(text), ["a-b-c-d_e", "rule-7-epochs", "rule-7-epochs-1"]);
}

/// Targets within the repository.
fn links(text: &str) -> Vec<&str> {
    let pattern = Regex::new(r"\]\(([^)\s]+)[^)]*\)|(?m:^\[[^\]]+\]: (\S+))").expect("a pattern");
    let targets = pattern.captures_iter(text).filter_map(|found| found.get(1).or(found.get(2)));
    let targets = targets.map(|target| target.as_str());
    targets.filter(|target| !target.contains("://") && !target.starts_with("mailto:")).collect()
}

/// Quoted paths that begin with a folder of the root. `{a,b}` stands for two of them.
fn paths(line: &str) -> Vec<String> {
    let found = PATH.captures_iter(line).flat_map(|found| {
        let start = found[1].to_owned();
        let ends = found.get(2).map_or("", |ends| ends.as_str()).to_owned();
        ends.split(',').map(|end| format!("{start}{end}")).collect::<Vec<_>>()
    });
    found.collect()
}

/// The anchors of a page's headings, as GitHub makes them.
fn anchors(text: &str) -> Vec<String> {
    let mut seen: HashMap<String, usize> = HashMap::new();
    let mut anchors = Vec::new();
    for line in without_code(text).lines() {
        let title = line.trim_start_matches('#');
        if title.len() == line.len() || !title.starts_with(' ') {
            continue;
        }
        let kept = |c: &char| c.is_alphanumeric() || [' ', '-', '_'].contains(c);
        let anchor: String = title.trim().to_lowercase().chars().filter(kept).collect();
        let anchor = anchor.replace(' ', "-");
        let count = seen.entry(anchor.clone()).or_default();
        anchors.push(if *count == 0 { anchor } else { format!("{anchor}-{count}") });
        *count += 1;
    }
    anchors
}

/// Without fenced blocks.
fn without_code(text: &str) -> String {
    let mut in_code = false;
    let prose = text.lines().filter(|line| {
        let is_fence = line.trim_start().starts_with("```");
        in_code ^= is_fence;
        !in_code && !is_fence
    });
    prose.fold(String::new(), |text, line| text + line + "\n")
}
