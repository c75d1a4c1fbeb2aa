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
    /// The shard's database answered, and lets aka not read.
    Barred(Bar),
}

pub(super) type ReadReply = oneshot::Sender<Result<Arc<Loaded>, ReadFault>>;

/// Waiting reads. Each is a list of keys.
pub(super) struct ReadBacklog(pub Queue<(Vec<Key>, ReadReply)>);

impl ReadBacklog {
    pub fn new(capacity: usize) -> Self {
        Self(Queue::new(capacity))
    }

    /// Hands keys to a reader, and waits for the answer. It may hold rows that others asked for.
    pub async fn load(&self, keys: Vec<Key>) -> Result<Arc<Loaded>, ReadFault> {
        let (reply, answer) = oneshot::channel();
        if !self.0.push(vec![(keys, reply)]).is_empty() {
            return Err(ReadFault::Overloaded);
        }
        answer.await.unwrap_or(Err(ReadFault::Unavailable))
    }
}
