//! The table of mutants in `docs/testing.md` agrees with the code.

use crate::assert_none;
use crate::design::Design;
use crate::tree::{names_front_door_test, read};
use aka_core::mutant::{CaughtBy, Mutant};

const PATH: &str = "docs/testing.md";
const BEGIN: &str = "<!-- mutants: begin -->\n";
const END: &str = "<!-- mutants: end -->";

#[test]
fn the_table_agrees_with_the_code() {
    let text = read(PATH);
    let (_, rest) = text.split_once(BEGIN).expect("the table has a begin mark");
    let (table, _) = rest.split_once(END).expect("the table has an end mark");
    assert!(table == expected_table(), "{PATH} must have this table:\n\n{}", expected_table());
}

#[test]
fn each_mutant_names_a_rule_and_a_test() {
    let design = Design::read();
    let mut findings = Vec::new();
    for mutant in Mutant::ALL {
        let name = mutant.name();
        let is_defined = |rule: &str| {
            rule == "filter" || rule.parse().is_ok_and(|rule| design.rules.contains(&rule))
        };
        if !mutant.rule().split(", ").all(is_defined) {
            findings.push(format!("{name}: no rule {}", mutant.rule()));
        }
        if mutant.caught_by().is_empty() {
            findings.push(format!("{name}: no test catches it"));
        }
        for test in mutant.caught_by() {
            if let CaughtBy::Service(test) = test
                && !names_front_door_test(test)
            {
                findings.push(format!("{name}: there is no test `{test}` in tests/it"));
            }
        }
    }
    assert_none("mutants", &findings);
}

fn expected_table() -> String {
    let mut table =
        "| mutant | rule | what it breaks | caught by |\n|---|---|---|---|\n".to_owned();
    for mutant in Mutant::ALL {
        let tests: Vec<String> = mutant.caught_by().iter().map(test).collect();
        let (name, rule, breaks) = (mutant.name(), mutant.rule(), mutant.breaks());
        table += &format!("| `{name}` | {rule} | {breaks} | {} |\n", tests.join("; "));
    }
    table
}

fn test(caught_by: &CaughtBy) -> String {
    match caught_by {
        CaughtBy::Simulation => "simulation".to_owned(),
        CaughtBy::Scripts => "scripts".to_owned(),
        CaughtBy::Interleavings => "interleavings".to_owned(),
        CaughtBy::Service(name) => format!("`{name}`"),
    }
}
