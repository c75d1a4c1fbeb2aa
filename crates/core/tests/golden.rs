//! The slot of an id never changes, because every stored row carries it. This test compares slots
//! with `golden/slots.txt`, which was written once and checked against an independent
//! implementation of the hash.

use aka_core::domain::{Project, Slot};

const GOLDEN: &str = include_str!("golden/slots.txt");

/// A line is `project<TAB>id in hexadecimal<TAB>slot`.
#[test]
fn slots_never_change() {
    let mut lines = 0;
    for line in GOLDEN.lines().filter(|line| !line.starts_with('#')) {
        let fields: Vec<&str> = line.split('\t').collect();
        let [project, id, slot] = fields.as_slice() else {
            panic!("{line:?} has not three fields")
        };
        let project = Project::new(project.parse().expect("a project")).expect("a project");
        let id: Vec<u8> = (0..id.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&id[at..at + 2], 16).expect("hexadecimal"))
            .collect();
        assert_eq!(Slot::of(project, &id).get(), slot.parse::<u16>().expect("a slot"), "{line:?}");
        lines += 1;
    }
    assert_eq!(lines, 300);
}
