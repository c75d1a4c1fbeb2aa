//! Places where the tests may hold, kill or break the program on purpose. Compiled in by the feature
//! `test-hooks` alone; without it every call is nothing.

#[cfg(feature = "test-hooks")]
mod on {
    use crate::clock::Boottime;
    use std::cell::Cell;
    use std::collections::HashMap;
    use std::path::PathBuf;
    use std::sync::{LazyLock, Mutex};
    use std::time::Duration;

    static CRASH_AT: LazyLock<Option<String>> =
        LazyLock::new(|| std::env::var("AKA_CRASH_AT").ok());
    static HOLD_DIR: LazyLock<Option<PathBuf>> =
        LazyLock::new(|| std::env::var_os("AKA_HOLD_DIR").map(PathBuf::from));
    static MUTANT: LazyLock<String> =
        LazyLock::new(|| std::env::var("AKA_MUTANT").unwrap_or_default());

    thread_local! {
        /// The same for one thread: the simulations of a test run side by side, each wrong in its way.
        static THREAD_MUTANT: Cell<&'static str> = const { Cell::new("") };
        /// The simulated time, for a mutant that takes the time where the program does not.
        static THREAD_TIME: Cell<u64> = const { Cell::new(0) };
    }

    /// Makes the program wrong in this way on this thread; `""`: right again.
    pub fn set_thread_mutant(name: &'static str) {
        THREAD_MUTANT.set(name);
    }

    /// What [`time`] answers on this thread.
    pub fn set_thread_time(now: Boottime) {
        THREAD_TIME.set(now.nanos());
    }

    /// Kills the process (SIGKILL) where `AKA_CRASH_AT` is `place:n` and this is the nth time here.
    pub fn crash(place: &str) {
        static PASSED: LazyLock<Mutex<HashMap<String, u32>>> = LazyLock::new(Mutex::default);
        let Some(at) = CRASH_AT.as_deref() else { return };
        let Ok(mut passed) = PASSED.lock() else { return };
        let times = passed.entry(place.to_owned()).or_default();
        *times += 1;
        if at == format!("{place}:{times}") {
            let _ = rustix::process::kill_process(
                rustix::process::getpid(),
                rustix::process::Signal::KILL,
            );
        }
    }

    /// Waits while the file `place` is in `AKA_HOLD_DIR`; says so by making `place.held`.
    pub async fn hold(place: &str) {
        let Some(folder) = HOLD_DIR.as_deref() else { return };
        let (gate, held) = (folder.join(place), folder.join(format!("{place}.held")));
        while gate.exists() {
            let _ = std::fs::write(&held, "");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// A time that the tests cannot wait for, as `name` in the environment says, in milliseconds.
    pub fn shortened(name: &str, usual: Duration) -> Duration {
        let set = std::env::var(name).ok().and_then(|millis| millis.parse().ok());
        set.map_or(usual, Duration::from_millis)
    }

    /// Whether the program is to be wrong in this way (`AKA_MUTANT`, or this thread's mutant).
    pub fn mutant(name: &str) -> bool {
        THREAD_MUTANT.get() == name || *MUTANT == name
    }

    /// `right`, or the simulated time if the program is to be wrong in this way.
    pub fn time(name: &str, right: Boottime) -> Boottime {
        if mutant(name) { Boottime::from_nanos(THREAD_TIME.get()) } else { right }
    }
}

#[cfg(not(feature = "test-hooks"))]
mod on {
    #[inline(always)]
    pub fn crash(_place: &str) {}

    #[inline(always)]
    pub async fn hold(_place: &str) {}

    #[inline(always)]
    pub fn shortened(_name: &str, usual: std::time::Duration) -> std::time::Duration {
        usual
    }

    #[inline(always)]
    pub fn mutant(_name: &str) -> bool {
        false
    }

    #[inline(always)]
    pub fn time(_name: &str, right: crate::clock::Boottime) -> crate::clock::Boottime {
        right
    }
}

pub(crate) use on::{crash, hold, shortened};
#[cfg(feature = "test-hooks")]
pub use on::{mutant, set_thread_mutant, set_thread_time, time};
#[cfg(not(feature = "test-hooks"))]
pub(crate) use on::{mutant, time};
