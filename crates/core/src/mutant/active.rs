//! Which mutant is on: one for the process, or one for each thread.

use super::list::Mutant;
use crate::clock::Boottime;
use std::cell::Cell;
use std::sync::LazyLock;

/// The mutant of the whole process, from `AKA_MUTANT`.
static PROCESS: LazyLock<Option<Mutant>> = LazyLock::new(|| {
    let name = std::env::var("AKA_MUTANT").ok().filter(|name| !name.is_empty())?;
    // A misspelt name would break nothing, and its test would pass for the wrong reason.
    Some(Mutant::named(&name).unwrap_or_else(|| panic!("there is no mutant {name:?}")))
});

thread_local! {
    /// The mutant of this thread. Simulations of several mutants run side by side.
    static THREAD: Cell<Option<Mutant>> = const { Cell::new(None) };
    /// The simulated time, for the mutant that reads the clock where the right program does not.
    static TIME: Cell<Boottime> = const { Cell::new(Boottime::ZERO) };
}

/// Sets the mutant of this thread. With `None` the thread has that of the process.
pub fn set_thread_mutant(mutant: Option<Mutant>) {
    THREAD.set(mutant);
}

/// Sets the simulated time of this thread.
pub fn set_thread_time(now: Boottime) {
    TIME.set(now);
}

pub(crate) fn thread_time() -> Boottime {
    TIME.get()
}

/// The mutant that is on in this thread: its own, or else that of the process.
pub fn active() -> Option<Mutant> {
    THREAD.get().or(*PROCESS)
}
