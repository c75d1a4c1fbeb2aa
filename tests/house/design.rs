//! The numbers that `docs/design.md` defines.

use crate::tree::read;
use regex::Regex;
use std::collections::BTreeSet;

pub const PATH: &str = "docs/design.md";

pub struct Design {
    /// Headings such as `### Rule 7: epochs`.
    pub rules: BTreeSet<u32>,
    /// Rows of a table such as `| P8 | …`.
    pub promises: BTreeSet<u32>,
    /// Headings such as `## 5. Coherence`.
    pub sections: BTreeSet<u32>,
}

impl Design {
    pub fn read() -> Self {
        let text = read(PATH);
        let numbers = |pattern: &str| -> BTreeSet<u32> {
            let pattern = Regex::new(pattern).expect("a pattern");
            pattern.captures_iter(&text).map(|found| found[1].parse().expect("digits")).collect()
        };
        let design = Self {
            rules: numbers(r"(?m)^### Rule (\d+): "),
            promises: numbers(r"(?m)^\| P(\d+) \|"),
            sections: numbers(r"(?m)^## (\d+)\. "),
        };
        let all = [&design.rules, &design.promises, &design.sections];
        assert!(all.iter().all(|numbers| numbers.len() > 3), "{PATH} has another form now");
        design
    }
}
