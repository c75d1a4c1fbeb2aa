//! The places of handshakes that are carried out. A client may stop half-way, so one that has had its
//! place for a while gives it up when others wait.

use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};

/// How many handshakes of a port are carried out at once. Each holds some memory.
pub(super) const HANDSHAKES: usize = 256;

/// How long a handshake keeps its place, though others wait. A client that goes on needs one way to
/// it and back. 256 clients that stop half-way then delay a new one by no more than this.
const UNDISTURBED: Duration = Duration::from_millis(250);

/// The places of one port.
pub(super) struct HandshakePlaces {
    free: Semaphore,
    taken: Mutex<Handshakes>,
}

/// The handshakes under way that may still be told to give way, in the order in which they began.
#[derive(Default)]
struct Handshakes {
    next: u64,
    by_number: BTreeMap<u64, (Instant, CancellationToken)>,
}

/// The place of one handshake. Dropping it frees the place.
pub(super) struct HandshakePlace<'a> {
    places: &'a HandshakePlaces,
    number: u64,
    gives_way: CancellationToken,
    _permit: Option<SemaphorePermit<'a>>,
}

impl HandshakePlaces {
    pub fn new() -> Self {
        Self { free: Semaphore::new(HANDSHAKES), taken: Mutex::default() }
    }

    /// Waits for a place. If there is none, the handshake that has been at it for longest is told to
    /// give way.
    pub async fn take(&self) -> HandshakePlace<'_> {
        let mut free = pin!(self.free.acquire());
        // The semaphore is never closed.
        let permit = loop {
            let told = async {
                self.one_gives_way().await;
                // Its place goes to whoever has waited for longest. If that is another one, who then
                // tells nobody, this one must tell once more.
                sleep(UNDISTURBED).await;
            };
            tokio::select! {
                biased;
                permit = &mut free => break permit.ok(),
                () = told => {}
            }
        };
        let gives_way = CancellationToken::new();
        let mut taken = self.taken.lock();
        let number = taken.next;
        taken.next += 1;
        taken.by_number.insert(number, (Instant::now(), gives_way.clone()));
        HandshakePlace { places: self, number, gives_way, _permit: permit }
    }

    /// Tells the oldest handshake to give way, once it has had its time.
    async fn one_gives_way(&self) {
        loop {
            let now = Instant::now();
            let due = {
                let mut taken = self.taken.lock();
                match taken.by_number.first_entry() {
                    Some(oldest) if oldest.get().0 + UNDISTURBED <= now => {
                        oldest.remove().1.cancel();
                        return;
                    }
                    Some(oldest) => oldest.get().0 + UNDISTURBED,
                    // All have been told already.
                    None => now + UNDISTURBED,
                }
            };
            sleep_until(due).await;
        }
    }

    /// How many are free.
    #[cfg(test)]
    pub fn free(&self) -> usize {
        self.free.available_permits()
    }
}

impl HandshakePlace<'_> {
    /// Returns when others wait for the place, and this handshake has had it for longest.
    pub fn gives_way(&self) -> WaitForCancellationFuture<'_> {
        self.gives_way.cancelled()
    }
}

impl Drop for HandshakePlace<'_> {
    fn drop(&mut self) {
        self.places.taken.lock().by_number.remove(&self.number);
    }
}
