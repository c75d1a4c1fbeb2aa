//! Decides when aka may log in to a shard again after the shard has refused a login.
//!
//! A shard has some twenty connections. If each logged in again by itself, the server would soon
//! lock the account or block the host. So all connections to a server share one pause, which doubles
//! with each refusal.

use crate::store::{Server, StoreError};
use aka_core::domain::Bar;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// The pause after the first refused login.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// The refused logins of one shard.
pub(super) struct Logins {
    longest: Duration,
    /// By the server that refused.
    refused: Mutex<BTreeMap<Server, RefusedLogin>>,
}

struct RefusedLogin {
    error: StoreError,
    /// The pause before the next attempt, without its random part.
    pause: Duration,
    /// No attempt begins before this time.
    next: Instant,
}

/// An attempt to log in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Attempt {
    /// No login is known to be refused. Others may be under way.
    Usual,
    /// The only attempt after a pause. No other begins until it has ended.
    AfterPause,
}

impl Logins {
    /// The pause doubles up to `longest`.
    pub fn new(longest: Duration) -> Self {
        Self { longest, refused: Mutex::default() }
    }

    /// Begins an attempt to log in.
    ///
    /// # Errors
    /// The error of the last attempt, if it is too early for another.
    pub fn begin(&self, server: &Server) -> Result<Attempt, StoreError> {
        match self.refused.lock().get_mut(server) {
            Some(refused) if Instant::now() < refused.next => Err(refused.error.clone()),
            Some(refused) => {
                // Until this attempt has ended, no other begins.
                refused.next = Instant::now() + refused.pause;
                Ok(Attempt::AfterPause)
            }
            None => Ok(Attempt::Usual),
        }
    }

    /// Notes how an attempt ended.
    pub fn end(&self, server: &Server, attempt: Attempt, failed: Option<&StoreError>) {
        let mut refused = self.refused.lock();
        let Some(error @ StoreError::Barred { bar: Bar::Refused, .. }) = failed else {
            refused.remove(server);
            return;
        };
        let pause = match refused.get(server) {
            // Another attempt that began at the same time has set the pause already.
            Some(_) if attempt == Attempt::Usual => return,
            Some(refused) => (2 * refused.pause).min(self.longest),
            None => FIRST_PAUSE,
        };
        // A random part is cut off, so that the instances do not all log in at the same moment.
        let next = Instant::now() + pause.mul_f64(rand::random_range(0.5..=1.0));
        refused.insert(server.clone(), RefusedLogin { error: error.clone(), pause, next });
    }
}
