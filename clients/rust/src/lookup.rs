//! A lookup that somebody may wait for.

use crate::clock;
use crate::error::ResolveError;
use crate::observer::Notice;
use crate::queue::{Answer, BatchKey, Waiting};
use crate::resolved::Resolved;
use crate::shared::Shared;
use bytes::Bytes;
use std::pin::Pin;
use std::sync::Arc;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// A lookup. Nothing happens until it is awaited.
#[must_use = "nothing happens until it is awaited"]
pub struct Lookup {
    shared: Arc<Shared>,
    key: BatchKey,
    id: Bytes,
    traceparent: Option<Arc<str>>,
}

impl Lookup {
    pub(crate) fn new(shared: Arc<Shared>, project: u64, id: Bytes) -> Self {
        Self { shared, key: BatchKey { project, token: None }, id, traceparent: None }
    }

    /// Asks for an answer that is at least as fresh as the write that returned this token. An empty
    /// token is none.
    pub fn token(mut self, token: impl Into<Arc<str>>) -> Self {
        self.key.token = Some(token.into()).filter(|token| !token.is_empty());
        self
    }

    /// Sends the context of a trace along. A batch has the context of its first id that has one.
    pub fn traceparent(mut self, traceparent: impl Into<Arc<str>>) -> Self {
        self.traceparent = Some(traceparent.into());
        self
    }

    /// The canonical id, or **the id itself where nobody could find out**. Events that are stored
    /// under it may belong to somebody else. Each such id is counted
    /// ([`Counts::unchanged`](crate::Counts)).
    pub async fn or_unchanged(self) -> Bytes {
        let (shared, id) = (self.shared.clone(), self.id.clone());
        match self.run().await {
            Ok(resolved) => resolved.canonical,
            Err(_) => {
                shared.hooks.tell(&Notice::Unchanged);
                id
            }
        }
    }

    async fn run(self) -> Answer {
        let Self { shared, key, id, traceparent } = self;
        if let Some(answer) = known(&shared, &key, &id) {
            return Ok(answer);
        }
        let until = Instant::now() + shared.options.timeout;
        let (answer, answered) = oneshot::channel();
        let waiting = Waiting { id, until, traceparent, answer };
        shared.enqueue(key, vec![waiting], until).await?;
        match tokio::time::timeout_at(until, answered).await {
            Ok(answer) => answer.unwrap_or_else(|_| Err(lost(until))),
            Err(_) => Err(ResolveError::DeadlineExceeded),
        }
    }
}

impl IntoFuture for Lookup {
    type Output = Answer;
    type IntoFuture = Pin<Box<dyn Future<Output = Answer> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

/// Looks up many ids of a project, in order. Each has an answer or an error of its own.
pub(crate) async fn many(shared: &Shared, key: &BatchKey, ids: Vec<Bytes>) -> Vec<Answer> {
    let until = Instant::now() + shared.options.timeout;
    let mut answers = Vec::with_capacity(ids.len());
    let mut outstanding = Vec::new();
    for (index, id) in ids.into_iter().enumerate() {
        match known(shared, key, &id) {
            Some(answer) => answers.push(Ok(answer)),
            None => {
                answers.push(Err(ResolveError::DeadlineExceeded));
                outstanding.push((index, id));
            }
        }
    }
    // In parts that the queue has room for.
    let mut outstanding = outstanding.into_iter().peekable();
    let part = shared.options.max_queue.min(shared.options.max_batch * 4);
    while outstanding.peek().is_some() {
        let (mut waiting, mut receivers) = (Vec::new(), Vec::new());
        for (index, id) in outstanding.by_ref().take(part) {
            let (answer, answered) = oneshot::channel();
            waiting.push(Waiting { id, until, traceparent: None, answer });
            receivers.push((index, answered));
        }
        if let Err(error) = shared.enqueue(key.clone(), waiting, until).await {
            receivers.iter().for_each(|(index, _)| answers[*index] = Err(error.clone()));
            continue;
        }
        for (index, answered) in receivers {
            answers[index] = match tokio::time::timeout_at(until, answered).await {
                Ok(answer) => answer.unwrap_or_else(|_| Err(lost(until))),
                Err(_) => Err(ResolveError::DeadlineExceeded),
            };
        }
    }
    answers
}

/// What needs no call: what can be no id, and what the cache knows.
fn known(shared: &Shared, key: &BatchKey, id: &Bytes) -> Option<Resolved> {
    if let Some(answer) = Resolved::of_no_id(id) {
        return Some(answer);
    }
    let cache = shared.cache.as_ref().filter(|_| key.token.is_none())?;
    let found = cache.get(key.project, id, clock::now())?;
    shared.hooks.tell(&Notice::CacheHits(1));
    Some(found)
}

/// The error of an id that its batch let go of.
fn lost(until: Instant) -> ResolveError {
    match Instant::now() >= until {
        true => ResolveError::DeadlineExceeded,
        false => ResolveError::unavailable("the client's own task ended"),
    }
}
