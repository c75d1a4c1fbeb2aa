//! Reads that see the writes before them.

use crate::admin::Admin;
use crate::clock;
use crate::error::ResolveError;
use crate::lookup::{self, Lookup};
use crate::marks::Marks;
use crate::queue::{Answer, BatchKey};
use crate::shared::Shared;
use aka_wire::pb::CreateAliasResponse;
use bytes::Bytes;
use parking_lot::Mutex;
use std::sync::Arc;

/// Keeps the tokens of its writes. Its reads carry them, so they see these writes on every server.
///
/// A token is kept for 60 s, and of each shard only the newest. To let another program see the
/// writes, hand it the [`token`](Self::token); it takes that up with [`adopt`](Self::adopt).
pub struct Session {
    shared: Arc<Shared>,
    marks: Mutex<Marks>,
}

impl Session {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, marks: Mutex::default() }
    }

    /// [`Client::resolve`](crate::Client::resolve), at least as fresh as the writes before.
    pub fn resolve(&self, project: u64, id: impl Into<Bytes>) -> Lookup {
        let lookup = Lookup::new(self.shared.clone(), project, id.into());
        match self.current() {
            Some(token) => lookup.token(token),
            None => lookup,
        }
    }

    /// [`Client::resolve_all`](crate::Client::resolve_all), at least as fresh as the writes before.
    pub async fn resolve_all(&self, project: u64, ids: Vec<Bytes>) -> Vec<Answer> {
        let key = BatchKey { project, token: self.current() };
        lookup::many(&self.shared, &key, ids).await
    }

    /// Makes `alias` an alias of `canonical`, and remembers the token.
    ///
    /// # Errors
    /// As those of [`Admin::create`].
    pub async fn create_alias(
        &self,
        project: u64,
        alias: impl Into<Bytes>,
        canonical: impl Into<Bytes>,
    ) -> Result<CreateAliasResponse, ResolveError> {
        let created = Admin::new(self.shared.clone()).create(project, alias, canonical).await?;
        self.adopt(&created.consistency_token);
        Ok(created)
    }

    /// Remembers a token, such as one that came with an event.
    pub fn adopt(&self, token: &str) {
        self.marks.lock().add(token, clock::now());
    }

    /// The token of all writes of the last minute, to hand on. Empty if there are none.
    pub fn token(&self) -> String {
        self.current().as_deref().unwrap_or_default().to_owned()
    }

    fn current(&self) -> Option<Arc<str>> {
        self.marks.lock().text(clock::now())
    }
}
