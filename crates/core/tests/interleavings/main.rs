//! The coherence core, in one order after another of what its threads do: the simulation, on one
//! thread, cannot see what happens between two locks of one call.
//!
//! The feature `shuttle` builds the real `coherence` over the locks and atomics of `shuttle`
//! (`src/sync/explored.rs`), whose scheduler decides at each of them which thread goes on. Half of the orders are
//! random; the others have a thread stopped a few times only, for as long as it may be (PCT). They are
//! the same in each run: `AKA_ORDERS` asks for more of them, `SHUTTLE_RANDOM_SEED` for others. A failure
//! prints its schedule, which `shuttle::replay` runs again.
//!
//! Not in it: what the processor's memory allows beyond sequential consistency, and orders within one
//! call of moka or arc-swap.

mod mutants;
mod scenarios;
mod world;

use aka_core::mutant::{self, Mutant};
use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::{Config, FailurePersistence, Runner};
use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

/// How many orders of each kind a scenario is run in.
const ORDERS: usize = 5_000;

/// How often a thread is stopped, where that is bounded: most faults need one or two.
const STOPS: usize = 3;

thread_local! {
    /// The orders that were run.
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

/// Runs it in orders of both kinds.
fn run_all(persistence: FailurePersistence, scenario: fn()) {
    let set = std::env::var("AKA_ORDERS").ok();
    let orders = set.map_or(ORDERS, |text| text.parse().expect("a number"));
    RUN.set(0);
    // PCT counts the first choice of a thread, too.
    run(PctScheduler::new_from_seed(1, STOPS + 1, orders), persistence.clone(), scenario);
    run(RandomScheduler::new_from_seed(1, orders), persistence, scenario);
}

/// The promises hold in every order.
fn explore(name: &str, scenario: fn()) {
    let started = Instant::now();
    run_all(FailurePersistence::Print, scenario);
    println!("{name}: {} orders in {:.1} s", RUN.get(), started.elapsed().as_secs_f64());
}

/// The program is wrong in this way: after how many orders a promise is broken, and what is said.
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
