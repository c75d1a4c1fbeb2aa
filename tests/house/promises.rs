//! Each promise of `docs/design.md` names a test that exists.

use crate::assert_none;
use crate::design::{Design, PATH};
use crate::tree::{exists, is_module_or_function, names_front_door_test, read};
use regex::Regex;

const CORE_TESTS: [&str; 2] = ["crates/core/tests/simulation", "crates/core/tests/interleavings"];

#[test]
fn each_promise_names_its_tests() {
    let text = read(PATH);
    let row = Regex::new(r"(?m)^\| (P\d+) \|.*\| ([^|]*) \|$").expect("a pattern");
    let quoted = Regex::new("`([^`]+)`").expect("a pattern");
    let mut findings = Vec::new();
    let mut promises = 0;
    for found in row.captures_iter(&text) {
        promises += 1;
        let (promise, tests) = (&found[1], &found[2]);
        let mut named = CORE_TESTS.iter().any(|path| tests.contains(last_part(path)));
        for test in quoted.captures_iter(tests) {
            named = true;
            if !is_test(&test[1]) {
                findings.push(format!("{promise}: there is no test `{}`", &test[1]));
            }
        }
        if !named {
            findings.push(format!("{promise} names no test"));
        }
    }
    findings.extend(CORE_TESTS.iter().filter(|path| !exists(path)).map(|path| path.to_string()));
    assert_none("tests of promises", &findings);
    assert_eq!(promises, Design::read().promises.len(), "a row of the table has another form");
}

fn last_part(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// A path in the repository, or a module or test of `tests/it` or of the core's tests.
fn is_test(name: &str) -> bool {
    if name.contains('/') {
        return exists(name);
    }
    names_front_door_test(name) || CORE_TESTS.iter().any(|path| is_module_or_function(path, name))
}
