//! Places where the tests hold the program, kill it, or shorten a wait. Compiled in by the feature
//! `test-hooks` alone; without it every call is nothing. Rules are broken in [`aka_core::mutant`].

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
}

pub(crate) use on::{crash, hold, shortened};
