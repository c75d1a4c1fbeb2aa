//! The coherence code in many orders of its threads' steps. The simulation runs on one thread, so
//! it cannot see what happens between two locks of one call.
//!
//! The feature `shuttle` builds the real `coherence` over the locks and atomics of `shuttle`
//! (`crates/core/src/sync/explored.rs`). At each of them, its scheduler decides which thread goes
//! on. In half of the orders it decides at random. In the other half it stops a thread only a few
//! times, but for as long as possible (PCT). The orders are the same in each run. `AKA_ORDERS` asks
//! for more of them, `SHUTTLE_RANDOM_SEED` for others. A failure prints its schedule, which
//! `shuttle::replay` runs again.
//!
//! Two things are not explored: what a processor's memory allows beyond sequential consistency, and
//! orders within one call of moka or arc-swap.

mod mutants;
mod scenarios;
mod scene;

use aka_core::mutant::{self, Mutant};
use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::{Config, FailurePersistence, Runner};
use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

/// How many orders of each kind a scenario is run in.
const ORDERS: usize = 5_000;

/// How often PCT stops a thread. Most faults need one or two stops.
const STOPS: usize = 3;

thread_local! {
    /// How many orders were run.
    static RUN: Cell<usize> = const { Cell::new(0) };
}

fn run(scheduler: impl Scheduler + 'static, persistence: FailurePersistence, scenario: fn()) {
    let mut config = Config::new();
    config.silence_warnings = true;
    config.failure_persistence = persistence;
    Runner::new(scheduler, config).run(move || {
        RUN.set(RUN.get() + 1);
        scenario();
    });
}

/// Runs a scenario in orders of both kinds.
fn run_all(persistence: FailurePersistence, scenario: fn()) {
    let set = std::env::var("AKA_ORDERS").ok();
    let orders = set.map_or(ORDERS, |text| text.parse().expect("a number"));
    RUN.set(0);
    // PCT counts the choice of the first thread too.
    run(PctScheduler::new_from_seed(1, STOPS + 1, orders), persistence.clone(), scenario);
    run(RandomScheduler::new_from_seed(1, orders), persistence, scenario);
}

/// Checks that the promises hold in every order.
fn explore(name: &str, scenario: fn()) {
    let started = Instant::now();
    run_all(FailurePersistence::Print, scenario);
    println!("{name}: {} orders in {:.1} s", RUN.get(), started.elapsed().as_secs_f64());
}

/// Runs a scenario with a mutant. Returns the message of the first broken promise, and how many
/// orders were run until then; `None` if no promise was broken.
fn caught(mutant: Mutant, scenario: fn()) -> Option<(usize, String)> {
    mutant::set_thread_mutant(Some(mutant));
    let run = AssertUnwindSafe(|| run_all(FailurePersistence::None, scenario));
    let panic = catch_unwind(run).err();
    mutant::set_thread_mutant(None);
    let text = |panic: Box<dyn Any + Send>| match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => panic.downcast::<&str>().map_or_else(|_| String::new(), |it| it.to_string()),
    };
    panic.map(|panic| (RUN.get(), text(panic)))
}
