//! What the tasks of a client share.

use crate::budget::Budget;
use crate::cache::Cache;
use crate::credentials::Credentials;
use crate::endpoints::Endpoints;
use crate::error::{ConnectError, ResolveError};
use crate::observer::{Hooks, Notice};
use crate::options::{ClientOptions, WhenFull};
use crate::queue::{BatchKey, Queue, Waiting};
use crate::target::{Dial, Target};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tonic::Request;
use tonic::metadata::{Ascii, MetadataValue};

pub(crate) struct Shared {
    pub options: ClientOptions,
    pub queue: Queue,
    pub endpoints: Endpoints,
    pub budget: Budget,
    pub cache: Option<Cache>,
    pub hooks: Arc<Hooks>,
    credentials: Option<Credentials>,
}

impl Shared {
    pub async fn new(options: ClientOptions) -> Result<Self, ConnectError> {
        options.check()?;
        let targets: Result<Vec<_>, _> =
            options.endpoints.iter().map(|text| Target::parse(text)).collect();
        let targets = targets?;
        let dial = Dial::new(&options, &targets)?;
        let credentials = match (&options.token_file, &options.token) {
            (Some(path), _) => Some(Credentials::read(path.clone())?),
            (None, Some(token)) => Some(Credentials::fixed(token)?),
            (None, None) => None,
        };
        let hooks = Arc::new(Hooks::new(options.observer.clone()));
        let endpoints = Endpoints::new(targets, dial, options.max_in_flight, hooks.clone());
        endpoints.look_up().await?;
        Ok(Self {
            queue: Queue::new(options.max_queue, options.max_batch, options.linger),
            endpoints,
            budget: Budget::new(),
            cache: Cache::new(options.cache_entries, options.staleness),
            hooks,
            credentials,
            options,
        })
    }

    /// A message with its deadline and what else goes along.
    pub fn request<T>(&self, message: T, left: Duration, traceparent: Option<&str>) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(left);
        if let Some(credentials) = &self.credentials {
            request.metadata_mut().insert("authorization", credentials.header());
        }
        let traceparent = traceparent.and_then(|text| MetadataValue::<Ascii>::try_from(text).ok());
        if let Some(traceparent) = traceparent {
            request.metadata_mut().insert("traceparent", traceparent);
        }
        request
    }

    /// Puts ids into the queue, if there is room for all of them.
    pub async fn enqueue(
        &self,
        key: BatchKey,
        ids: Vec<Waiting>,
        until: Instant,
    ) -> Result<(), ResolveError> {
        let count = u32::try_from(ids.len()).unwrap_or(u32::MAX);
        let permits = match (self.queue.room.try_acquire_many(count), self.options.when_full) {
            (Ok(permits), _) => permits,
            (Err(_), WhenFull::Fail) => {
                self.hooks.tell(&Notice::QueueFull(ids.len()));
                return Err(ResolveError::QueueFull);
            }
            (Err(_), WhenFull::Wait) => {
                let room = tokio::time::timeout_at(until, self.queue.room.acquire_many(count));
                match room.await {
                    Ok(Ok(permits)) => permits,
                    Ok(Err(_)) => return Err(ResolveError::Closed),
                    Err(_) => return Err(ResolveError::DeadlineExceeded),
                }
            }
        };
        // They come back when the ids leave the queue.
        permits.forget();
        self.queue.push(key, ids)
    }
}
