//! Tells systemd, or another service manager with its protocol, how the instance is
//! (`sd_notify(3)`). Without one, nothing happens.

use sd_notify::NotifyState;

/// The instance is ready: units that are ordered after it may start.
pub(super) fn ready() {
    tell(NotifyState::Ready);
}

/// The instance stops.
pub(super) fn stopping() {
    tell(NotifyState::Stopping);
}

/// Shows the watchdog that the runtime runs, twice in its interval. Returns at once if there is no
/// watchdog.
pub(super) async fn feed_watchdog() {
    let Some(interval) = sd_notify::watchdog_enabled() else { return };
    loop {
        tell(NotifyState::Watchdog);
        tokio::time::sleep(interval / 2).await;
    }
}

fn tell(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(%error, "the service manager cannot be told");
    }
}
