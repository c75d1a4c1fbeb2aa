//! Retries a write that another write was in the way of.

use super::refusal::Refusal;
use aka_core::clock::Boottime;
use std::time::Duration;

/// How many times a write is retried before the client is told to retry.
const RETRIES: u32 = 5;

/// Attempts a write until its answer is not [`Refusal::RetryLater`], with growing random pauses.
pub(super) async fn retry<T, F>(
    deadline: Boottime,
    mut attempt: impl FnMut() -> F,
) -> Result<T, Refusal>
where
    F: Future<Output = Result<T, Refusal>>,
{
    for retried in 0..RETRIES {
        if Boottime::now() >= deadline {
            return Err(Refusal::DeadlineExceeded);
        }
        match attempt().await {
            Err(Refusal::RetryLater) => {}
            done => return done,
        }
        // The pause is random, so that two writes that collided do not collide again.
        let pause = Duration::from_millis(rand::random_range(5..=20) << retried);
        if Boottime::now().plus(pause) >= deadline {
            return Err(Refusal::RetryLater);
        }
        tokio::time::sleep(pause).await;
    }
    attempt().await
}
