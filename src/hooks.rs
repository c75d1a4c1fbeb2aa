//! Hooks: places where the tests hold the program, kill it, or shorten a wait.
//!
//! They are compiled in only with the feature `test-hooks`. Without it every call does nothing.

#[cfg(feature = "test-hooks")]
mod on {
    use std::collections::HashMap;
    use std::path::PathBuf;
    use std::sync::{LazyLock, Mutex};
    use std::time::Duration;

    static CRASH_AT: LazyLock<Option<String>> =
        LazyLock::new(|| std::env::var("AKA_CRASH_AT").ok());
    static HOLD_DIR: LazyLock<Option<PathBuf>> =
        LazyLock::new(|| std::env::var_os("AKA_HOLD_DIR").map(PathBuf::from));

    /// Kills the process (SIGKILL) at its nth visit to a place, if `AKA_CRASH_AT` is `place:n`.
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

    /// Waits while there is a file `place` in `AKA_HOLD_DIR`, and creates `place.held` meanwhile.
    pub async fn hold(place: &str) {
        let Some(folder) = HOLD_DIR.as_deref() else { return };
        let (gate, held) = (folder.join(place), folder.join(format!("{place}.held")));
        while gate.exists() {
            let _ = std::fs::write(&held, "");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// What the file `place` in `AKA_HOLD_DIR` holds.
    pub fn text(place: &str) -> Option<String> {
        std::fs::read_to_string(HOLD_DIR.as_deref()?.join(place)).ok()
    }

    /// Whether a system call shall be refused, as a sandbox would: `AKA_REFUSE_CALL` is its name.
    #[cfg(target_os = "linux")]
    pub fn is_refused(call: &str) -> bool {
        std::env::var("AKA_REFUSE_CALL").is_ok_and(|refused| refused == call)
    }

    /// The milliseconds in the environment variable `name`, in place of a wait that is too long for
    /// the tests.
    pub fn shortened(name: &str, usual: Duration) -> Duration {
        let set = std::env::var(name).ok().and_then(|millis| millis.parse().ok());
        set.map_or(usual, Duration::from_millis)
    }
}

#[cfg(not(feature = "test-hooks"))]
mod on {
    #[inline(always)]
    pub fn crash(_place: &str) {}

    #[inline(always)]
    pub async fn hold(_place: &str) {}

    #[inline(always)]
    pub fn text(_place: &str) -> Option<String> {
        None
    }

    #[cfg(target_os = "linux")]
    #[inline(always)]
    pub fn is_refused(_call: &str) -> bool {
        false
    }

    #[inline(always)]
    pub fn shortened(_name: &str, usual: std::time::Duration) -> std::time::Duration {
        usual
    }
}

#[cfg(target_os = "linux")]
pub(crate) use on::is_refused;
pub(crate) use on::{crash, hold, shortened, text};
