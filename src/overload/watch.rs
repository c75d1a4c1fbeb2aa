//! How late a thread is.

use super::control::{LATE, LatenessControl, TICK};
use super::thread_load::ThreadLoad;
use crate::hooks;
use aka_core::clock::Boottime;
use metrics::Histogram;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Has the load of the current thread follow how late its tasks run. Does not end. `lag` gets how
/// late each tick is. A thread that is late by less than `target` refuses nothing.
pub async fn watch_thread(lag: Histogram, target: Duration) {
    let load = Arc::<ThreadLoad>::default();
    load.clone().register();
    let mut control = LatenessControl::new(target);
    loop {
        let due = Instant::now() + TICK;
        tokio::time::sleep_until(due).await;
        let now = Instant::now();
        let pretended = hooks::text("late-ms").and_then(|text| text.trim().parse().ok());
        let late = pretended.map_or(now.saturating_duration_since(due), Duration::from_millis);
        lag.record(late.as_secs_f64());
        load.set(Boottime::now(), late >= LATE, control.observe(now.into_std(), late));
    }
}
