//! The simulation: many instances, shards and clients on one thread, with a clock that is only a
//! number. A seed decides everything that happens.
//!
//! The `coherence` code is the real one. What surrounds it is simulated, down to failovers. Every
//! answer is checked against the promises (`checker`).
//!
//! `AKA_SIM_SEEDS` says how many seeds to run, `AKA_SIM_FIRST` which one is first, and
//! `AKA_SIM_OPS` how many operations each has. A seed that fails is printed with the command that
//! replays it: `AKA_SIM_SEED` runs that seed alone and prints what happens.
//!
//! The files, in reading order:
//!
//! - `schedule`: the parameters of a run, drawn from its seed. `world`: the event loop.
//! - `model`: the true history of a shard. `database`: how its primary carries out a call.
//! - `instance`: the state of one running aka. `tasks` and `filters`: its tasks, step by step.
//! - `group`: shards of several servers.
//! - `client`: reads and writes. `faults`: failovers, broken connections and other faults.
//! - `checker`: checks every answer. `quiet`: checks the end of a run.
//! - `mutants` and `scripts`: tests that run the program with a mutant, and must fail.

mod checker;
mod client;
mod database;
mod faults;
mod filters;
mod group;
mod instance;
mod model;
mod mutants;
mod quiet;
mod rng;
mod schedule;
mod scripts;
mod tasks;
mod trace;
mod world;

use std::time::Instant;
use world::World;

const SEEDS: u64 = 600;
const OPERATIONS: u64 = 1_000;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

fn operations() -> u64 {
    number("AKA_SIM_OPS").unwrap_or(OPERATIONS)
}

/// Runs one seed. Returns the world at its end.
fn run(seed: u64, operations: u64, print: bool) -> Result<World, String> {
    let mut world = World::new(seed, operations, print);
    match world.run() {
        Ok(()) => Ok(world),
        Err(wrong) => Err(format!(
            "seed {seed}: {wrong}\nto replay it: AKA_SIM_SEED={seed} AKA_SIM_OPS={operations} \
             cargo test -p aka-core --features test-hooks --test simulation every_answer -- --nocapture"
        )),
    }
}

#[test]
fn every_answer_keeps_the_promises() {
    if let Some(seed) = number("AKA_SIM_SEED") {
        let world = run(seed, operations(), true).unwrap_or_else(|wrong| panic!("{wrong}"));
        eprintln!("seed {seed} is right, trace {:016x}", world.trace.hash());
        return;
    }
    let (started, mut answers, mut degraded, mut events) = (Instant::now(), 0, 0, 0);
    let seeds = number("AKA_SIM_SEEDS").unwrap_or(SEEDS);
    let mut wrong = Vec::new();
    let first = number("AKA_SIM_FIRST").unwrap_or(0);
    for seed in first..first + seeds {
        match run(seed, operations(), false) {
            Ok(world) => {
                answers += world.checker.answers;
                degraded += world.checker.degraded_answers;
                events += world.trace.events;
            }
            Err(text) => wrong.push(text),
        }
    }
    let (seconds, operations) = (started.elapsed().as_secs_f64(), seeds * operations());
    println!(
        "{seeds} seeds, {operations} operations, {answers} answers checked ({degraded} degraded), \
         {events} events in {seconds:.1} s: {:.0} operations/s",
        operations as f64 / seconds
    );
    let seeds: Vec<_> = wrong.iter().filter_map(|text| text.split(':').next()).collect();
    assert!(
        wrong.is_empty(),
        "{} seeds fail: {seeds:?}\n{}",
        wrong.len(),
        wrong[..wrong.len().min(3)].join("\n\n")
    );
}

#[test]
fn the_same_seed_does_the_same() {
    for seed in 0..20 {
        let hash = || run(seed, operations(), false).map(|world| world.trace.hash());
        assert_eq!(hash(), hash());
    }
}
