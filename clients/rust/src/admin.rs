//! Calls that create, change, show and delete aliases.

use crate::budget;
use crate::error::{CallFault, ResolveError};
use crate::observer::Notice;
use crate::shared::Shared;
use aka_wire::pb::alias_admin_client::AliasAdminClient;
use aka_wire::pb::{
    Alias, BatchCreateAliasesRequest, BatchCreateAliasesResponse, CreateAliasRequest,
    CreateAliasResponse, DeleteAliasRequest, DeleteAliasResponse, GetAliasRequest,
    ListAliasesRequest, ListAliasesResponse, UpdateAliasRequest, UpdateAliasResponse,
};
use bytes::Bytes;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

/// The calls of admins, and of workers that see alias events. They are repeated where that is safe.
pub struct Admin(Arc<Shared>);

/// One call of a method.
type Calling<R> = Pin<Box<dyn Future<Output = Result<Response<R>, Status>> + Send>>;

/// How a method is called.
macro_rules! method {
    ($name:ident) => {
        |mut client, request| Box::pin(async move { client.$name(request).await })
    };
}

impl Admin {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self(shared)
    }

    /// Makes `alias` an alias of `canonical`.
    ///
    /// # Errors
    /// [`Refused`](ResolveError::Refused) says why the server does not, such as `ALIAS_TAKEN`.
    pub async fn create(
        &self,
        project: u64,
        alias: impl Into<Bytes>,
        canonical: impl Into<Bytes>,
    ) -> Result<CreateAliasResponse, ResolveError> {
        let (alias_id, canonical_id) = (alias.into(), canonical.into());
        let message =
            CreateAliasRequest { project_id: project, alias_id, canonical_id, dry_run: false };
        self.call(message, true, method!(create_alias)).await
    }

    /// Up to 1,000 creates, each with its own result.
    ///
    /// # Errors
    /// If the call as a whole failed.
    pub async fn create_all(
        &self,
        requests: Vec<CreateAliasRequest>,
    ) -> Result<BatchCreateAliasesResponse, ResolveError> {
        let message = BatchCreateAliasesRequest { requests };
        self.call(message, true, method!(batch_create_aliases)).await
    }

    /// Reads an alias from the database.
    ///
    /// # Errors
    /// `ALIAS_NOT_FOUND` if there is none.
    pub async fn get(&self, project: u64, alias: impl Into<Bytes>) -> Result<Alias, ResolveError> {
        let message = GetAliasRequest { project_id: project, alias_id: alias.into() };
        self.call(message, true, method!(get_alias)).await
    }

    /// Points an alias at another canonical id, if it still has this version.
    ///
    /// # Errors
    /// `VERSION_MISMATCH` if it has another one.
    pub async fn update(
        &self,
        project: u64,
        alias: impl Into<Bytes>,
        canonical: impl Into<Bytes>,
        expected_version: u64,
    ) -> Result<UpdateAliasResponse, ResolveError> {
        let (alias_id, canonical_id) = (alias.into(), canonical.into());
        let message =
            UpdateAliasRequest { project_id: project, alias_id, canonical_id, expected_version };
        self.call(message, true, method!(update_alias)).await
    }

    /// Removes an alias; version 0 is any. It is repeated only if it was not sent: the answer to a
    /// second delete would be that there is no such alias.
    ///
    /// # Errors
    /// `ALIAS_NOT_FOUND` if there is none, `VERSION_MISMATCH` if it has another version.
    pub async fn delete(
        &self,
        project: u64,
        alias: impl Into<Bytes>,
        expected_version: u64,
    ) -> Result<DeleteAliasResponse, ResolveError> {
        let message =
            DeleteAliasRequest { project_id: project, alias_id: alias.into(), expected_version };
        self.call(message, false, method!(delete_alias)).await
    }

    /// One page of the aliases of a canonical id. Only an empty `next_page_token` ends the list.
    ///
    /// # Errors
    /// `INVALID_PAGE_TOKEN` if the token is not one of this list.
    pub async fn list(
        &self,
        project: u64,
        canonical: impl Into<Bytes>,
        page_size: i32,
        page_token: &str,
    ) -> Result<ListAliasesResponse, ResolveError> {
        let (canonical_id, page_token) = (canonical.into(), page_token.to_owned());
        let message =
            ListAliasesRequest { project_id: project, canonical_id, page_size, page_token };
        self.call(message, true, method!(list_aliases)).await
    }

    async fn call<M: Clone, R>(
        &self,
        message: M,
        repeatable: bool,
        method: fn(AliasAdminClient<Channel>, Request<M>) -> Calling<R>,
    ) -> Result<R, ResolveError> {
        let shared = &self.0;
        let until = Instant::now() + shared.options.timeout;
        let (mut tried, mut retry) = (Vec::new(), 0);
        loop {
            let lease = tokio::time::timeout_at(until, shared.endpoints.acquire(&tried)).await;
            let Some(lease) = lease.map_err(|_| ResolveError::DeadlineExceeded)? else {
                let text = "the names of the servers have no addresses";
                return Err(ResolveError::unavailable(text));
            };
            tried.push(lease.0.address);
            let left = until.saturating_duration_since(Instant::now());
            let request = shared.request(message.clone(), left, None);
            let client = AliasAdminClient::new(lease.0.channel.clone());
            let fault = match tokio::time::timeout_at(until, method(client, request)).await {
                Err(_) => return Err(ResolveError::DeadlineExceeded),
                Ok(Ok(response)) => {
                    shared.endpoints.answered(&lease.0);
                    shared.budget.earn();
                    return Ok(response.into_inner());
                }
                Ok(Err(status)) => CallFault::of(&status),
            };
            if fault.not_sent {
                shared.endpoints.refused(&lease.0);
            }
            drop(lease);
            let may_repeat = repeatable || fault.not_sent;
            let pause = self.pause(&fault, retry, &tried).filter(|_| may_repeat);
            let Some(pause) = pause.filter(|&pause| Instant::now() + pause < until) else {
                return Err(fault.error);
            };
            retry += 1;
            shared.hooks.tell(&Notice::Retry);
            tokio::time::sleep(pause).await;
        }
    }

    /// How long to wait before the next try; `None`: there is none.
    fn pause(&self, fault: &CallFault, retry: u32, tried: &[SocketAddr]) -> Option<Duration> {
        let shared = &self.0;
        if !fault.retry || retry >= shared.options.retries || !shared.budget.may_retry() {
            return None;
        }
        Some(match shared.endpoints.has_other(tried) {
            true => Duration::ZERO,
            false => budget::pause(retry).max(fault.after.unwrap_or_default()),
        })
    }
}
