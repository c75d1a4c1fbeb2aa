//! The admin reads that wait for a shard's readers.

use super::queue::Queue;
use aka_core::domain::{Bar, Key, Loaded};
use std::sync::Arc;
use tokio::sync::oneshot;

/// Why rows could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadFault {
    /// Too many reads wait already.
    Overloaded,
    /// The shard did not answer.
    Unavailable,
    /// The shard's database answered, and does not let aka read.
    Barred(Bar),
}

pub(super) type ReadReply = oneshot::Sender<Result<Arc<Loaded>, ReadFault>>;

/// The keys of one read, and where its answer goes.
pub(super) type WaitingRead = (Vec<Key>, ReadReply);

/// The reads that wait.
pub(super) struct ReadBacklog(pub Queue<WaitingRead>);

impl ReadBacklog {
    pub fn new(capacity: usize) -> Self {
        Self(Queue::new(capacity))
    }

    /// Hands keys to a reader, and waits for the answer. The answer may also hold rows that other
    /// callers asked for.
    pub async fn load(&self, keys: Vec<Key>) -> Result<Arc<Loaded>, ReadFault> {
        let (reply, answer) = oneshot::channel();
        if !self.0.push(vec![(keys, reply)]).is_empty() {
            return Err(ReadFault::Overloaded);
        }
        answer.await.unwrap_or(Err(ReadFault::Unavailable))
    }
}
