//! The tasks of a client: one sends batches as endpoints are free, one looks up addresses.

use crate::batch::BatchRun;
use crate::queue::Next;
use crate::shared::Shared;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::time::Instant;

/// How often names are looked up: while something is wrong, and else.
const LOOK_UP_TROUBLED: Duration = Duration::from_secs(1);
const LOOK_UP: Duration = Duration::from_secs(30);

/// Sends batches, until the queue is closed and empty.
pub(crate) async fn dispatch(shared: Arc<Shared>) {
    let queue = &shared.queue;
    loop {
        match queue.next(Instant::now()) {
            Next::Never { closed: true } => return,
            Next::Never { closed: false } => queue.changed.notified().await,
            Next::At(due) => tokio::select! {
                () = queue.changed.notified() => {}
                () = tokio::time::sleep_until(due) => {}
            },
            Next::Now => {
                // The batch grows while no endpoint is free.
                let lease = shared.endpoints.acquire(&[]).await;
                if let Some((key, ids)) = queue.take(Instant::now()) {
                    tokio::spawn(BatchRun::new(shared.clone(), key, ids).run(lease));
                }
            }
        }
    }
}

/// Keeps the addresses of names up to date, until the client has gone.
pub(crate) async fn look_up(shared: Weak<Shared>) {
    let mut looked = Instant::now();
    loop {
        tokio::time::sleep(LOOK_UP_TROUBLED).await;
        let Some(shared) = shared.upgrade() else { return };
        if shared.endpoints.is_troubled() || looked.elapsed() >= LOOK_UP {
            looked = Instant::now();
            // What cannot be used now is tried again.
            let _ = shared.endpoints.look_up().await;
        }
    }
}
