//! The calls of the contract in short form, and the messages that they send.

use crate::instance::{Aka, PROJECT};
use aka_wire::pb;
use bytes::Bytes;
use tonic::Status;

/// The calls of the contract in short form. Ids are anything that has bytes.
///
/// # Errors
/// Each call returns the server's status.
impl Aka {
    pub async fn resolve(&self, project: u64, id: impl AsRef<[u8]>) -> Result<Resolved, Status> {
        self.resolve_as_of(project, id, "").await
    }

    /// Resolves an id with a consistency token.
    pub async fn resolve_as_of(
        &self,
        project: u64,
        id: impl AsRef<[u8]>,
        token: &str,
    ) -> Result<Resolved, Status> {
        let consistency_token = token.to_owned();
        let request = pb::ResolveRequest { consistency_token, ..resolve_request(project, id) };
        self.resolver().resolve(request).await.map(tonic::Response::into_inner)
    }

    pub async fn batch_resolve<I: AsRef<[u8]>>(
        &self,
        project: u64,
        ids: impl IntoIterator<Item = I>,
    ) -> Result<pb::BatchResolveResponse, Status> {
        let request = batch_request(project, ids);
        self.resolver().batch_resolve(request).await.map(tonic::Response::into_inner)
    }

    pub async fn create(
        &self,
        project: u64,
        alias: impl AsRef<[u8]>,
        canonical: impl AsRef<[u8]>,
    ) -> Result<pb::CreateAliasResponse, Status> {
        let request = create_request(project, alias, canonical);
        self.admin().create_alias(request).await.map(tonic::Response::into_inner)
    }

    pub async fn dry_run(
        &self,
        project: u64,
        alias: impl AsRef<[u8]>,
        canonical: impl AsRef<[u8]>,
    ) -> Result<pb::CreateAliasResponse, Status> {
        let request =
            pb::CreateAliasRequest { dry_run: true, ..create_request(project, alias, canonical) };
        self.admin().create_alias(request).await.map(tonic::Response::into_inner)
    }

    pub async fn create_all(
        &self,
        requests: Vec<pb::CreateAliasRequest>,
    ) -> Result<pb::BatchCreateAliasesResponse, Status> {
        let request = pb::BatchCreateAliasesRequest { requests };
        self.admin().batch_create_aliases(request).await.map(tonic::Response::into_inner)
    }

    /// Creates the aliases `stem-0`, `stem-1`, … of `of-stem-0`, `of-stem-1`, …
    pub async fn create_many(&self, stem: &str, count: usize) {
        let ids: Vec<_> = (0..count).map(|n| format!("{stem}-{n}")).collect();
        for ids in ids.chunks(1_000) {
            let requests = ids.iter().map(|id| create_request(PROJECT, id, format!("of-{id}")));
            let created = self.create_all(requests.collect()).await.expect("a batch");
            assert!(created.results.iter().all(|result| result.response.is_some()));
        }
    }

    pub async fn get(&self, project: u64, alias: impl AsRef<[u8]>) -> Result<pb::Alias, Status> {
        let request = pb::GetAliasRequest { project_id: project, alias_id: bytes(alias) };
        self.admin().get_alias(request).await.map(tonic::Response::into_inner)
    }

    pub async fn update(
        &self,
        project: u64,
        alias: impl AsRef<[u8]>,
        canonical: impl AsRef<[u8]>,
        version: u64,
    ) -> Result<pb::UpdateAliasResponse, Status> {
        let request = pb::UpdateAliasRequest {
            project_id: project,
            alias_id: bytes(alias),
            canonical_id: bytes(canonical),
            expected_version: version,
        };
        self.admin().update_alias(request).await.map(tonic::Response::into_inner)
    }

    pub async fn delete(
        &self,
        project: u64,
        alias: impl AsRef<[u8]>,
        version: u64,
    ) -> Result<pb::DeleteAliasResponse, Status> {
        let request = pb::DeleteAliasRequest {
            project_id: project,
            alias_id: bytes(alias),
            expected_version: version,
        };
        self.admin().delete_alias(request).await.map(tonic::Response::into_inner)
    }

    /// Lists one page of the aliases of a canonical id.
    pub async fn list(
        &self,
        project: u64,
        canonical: impl AsRef<[u8]>,
        page_size: i32,
        page_token: &str,
    ) -> Result<pb::ListAliasesResponse, Status> {
        let request = pb::ListAliasesRequest {
            project_id: project,
            canonical_id: bytes(canonical),
            page_size,
            page_token: page_token.to_owned(),
        };
        self.admin().list_aliases(request).await.map(tonic::Response::into_inner)
    }

    /// Lists the alias ids of all pages.
    pub async fn list_all(&self, project: u64, canonical: &str, page_size: i32) -> Vec<Bytes> {
        let (mut ids, mut token) = (Vec::new(), String::new());
        loop {
            let page = self.list(project, canonical, page_size, &token).await.expect("a page");
            ids.extend(page.aliases.into_iter().map(|alias| alias.alias_id));
            token = page.next_page_token;
            if token.is_empty() {
                return ids;
            }
        }
    }
}

/// The answer to `Resolve`.
pub type Resolved = pb::ResolveResponse;

/// An id as the messages hold it.
pub fn bytes(id: impl AsRef<[u8]>) -> Bytes {
    Bytes::copy_from_slice(id.as_ref())
}

pub fn create_request(
    project: u64,
    alias: impl AsRef<[u8]>,
    canonical: impl AsRef<[u8]>,
) -> pb::CreateAliasRequest {
    pb::CreateAliasRequest {
        project_id: project,
        alias_id: bytes(alias),
        canonical_id: bytes(canonical),
        dry_run: false,
    }
}

pub fn batch_request<I: AsRef<[u8]>>(
    project: u64,
    ids: impl IntoIterator<Item = I>,
) -> pb::BatchResolveRequest {
    pb::BatchResolveRequest {
        project_id: project,
        distinct_ids: ids.into_iter().map(bytes).collect(),
        consistency_token: String::new(),
    }
}

pub fn resolve_request(project: u64, id: impl AsRef<[u8]>) -> pb::ResolveRequest {
    pb::ResolveRequest {
        project_id: project,
        distinct_id: bytes(id),
        consistency_token: String::new(),
    }
}
