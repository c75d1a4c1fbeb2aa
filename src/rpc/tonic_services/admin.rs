//! The service `AliasAdmin`: messages in, messages out.

use crate::admin::{Admin, AliasView, NewAlias, Refusal, WriteAnswer};
use crate::audit::{
    AliasId, AuditedCall, AuditedItem, AuditedOutcome, AuditedRequest, CanonicalId,
};
use crate::auth::{Denial, Pass};
use crate::metrics::{Metrics, WriteResult};
use crate::rpc::status::{self, CallFault};
use aka_core::clock::Boottime;
use aka_core::domain::{Micros, Token};
use aka_core::write::Author;
use aka_wire::pb::alias_admin_server::AliasAdmin;
use aka_wire::pb::{
    Alias, BatchCreateAliasesRequest, BatchCreateAliasesResponse, CreateAliasRequest,
    CreateAliasResponse, CreateAliasResult, DeleteAliasRequest, DeleteAliasResponse, Failure,
    GetAliasRequest, ListAliasesRequest, ListAliasesResponse, UpdateAliasRequest,
    UpdateAliasResponse,
};
use aka_wire::{MAX_CREATES, code_name};
use bytes::Bytes;
use std::sync::Arc;
use tonic::{Code, Request, Response, Status};

/// One call of the service.
pub(super) struct AdminCall {
    pub admin: Admin,
    pub metrics: Arc<Metrics>,
    pub admitted: AdmittedCall,
}

/// What the dispatcher knows of a call that it has let in.
pub struct AdmittedCall {
    pub pass: Pass,
    pub audited: AuditedCall,
    /// Who makes its writes.
    pub author: Author,
    /// The call is answered by then.
    pub until: Boottime,
}

impl AdminCall {
    /// Carries a write out as a task of its own. So a client that leaves half-way does not leave a
    /// half-done write. Answers by the deadline.
    async fn carry_out<T: Send + 'static>(
        &self,
        write: impl Future<Output = Result<T, Refusal>> + Send + 'static,
        result: impl FnOnce(&T) -> WriteResult,
    ) -> Result<T, Status> {
        let outcome = self.in_time(async { self.admin.run_to_completion(write).await }).await;
        let outcome = outcome.and_then(|joined| match joined {
            Ok(done) => done.map_err(|refusal| status::refusal(&refusal).into()),
            Err(error) => Err(internal(&error)),
        });
        self.metrics.count_write(match &outcome {
            Ok(done) => result(done),
            Err(status) => failed_or_refused(status.code()),
        });
        outcome
    }

    /// Checks that the call may ask for this project, before anything of it is looked at. `asked` is for
    /// the audit trail.
    fn lets_in(
        &self,
        project_id: u64,
        asked: impl FnOnce() -> AuditedRequest,
    ) -> Result<(), Status> {
        self.admitted.audited.asks(asked);
        Ok(self.admitted.pass.permits(project_id)?)
    }

    /// What carries out a write of this call, and until when.
    fn writer(&self) -> (Admin, Boottime) {
        (self.admin.by(self.admitted.author.clone()), self.admitted.until)
    }

    /// Notes the version that the client is shown.
    fn shows(&self, view: &AliasView) {
        self.admitted.audited.version(view.row.version);
    }

    /// Waits until the deadline. After it, nothing is begun: `awaited` begins when it is polled.
    async fn in_time<T>(&self, awaited: impl Future<Output = T>) -> Result<T, Status> {
        let left = self.admitted.until.since(Boottime::now());
        if left.is_zero() {
            return Err(CallFault::DeadlineExceeded.into());
        }
        tokio::time::timeout(left, awaited).await.map_err(|_| CallFault::DeadlineExceeded.into())
    }
}

#[tonic::async_trait]
impl AliasAdmin for AdminCall {
    async fn create_alias(
        &self,
        request: Request<CreateAliasRequest>,
    ) -> Result<Response<CreateAliasResponse>, Status> {
        let (admin, until) = self.writer();
        let new = new_alias(request.into_inner());
        self.lets_in(new.project_id, || asked(&new))?;
        let answer = async move { admin.create(new, until).await };
        let answer = self.carry_out(answer, created_or_unchanged).await?;
        self.shows(&answer.view);
        Ok(Response::new(created(answer)))
    }

    async fn batch_create_aliases(
        &self,
        request: Request<BatchCreateAliasesRequest>,
    ) -> Result<Response<BatchCreateAliasesResponse>, Status> {
        let requests = request.into_inner().requests;
        if requests.len() > MAX_CREATES {
            return Err(CallFault::BatchTooLarge(requests.len(), MAX_CREATES).into());
        }
        let news: Vec<NewAlias> = requests.into_iter().map(new_alias).collect();
        let audited = &self.admitted.audited;
        let all: Vec<AuditedRequest> = news.iter().map(asked).collect();
        audited.items(|| all.iter().map(unknown).collect());
        let permitted: Vec<Result<(), Denial>> =
            news.iter().map(|new| self.admitted.pass.permits(new.project_id)).collect();
        let (admin, until) = self.writer();
        let news = news.into_iter().zip(&permitted).filter(|(_, permitted)| permitted.is_ok());
        let news = news.map(|(new, _)| new).collect();
        let creating = async move { admin.create_all(news, until).await };
        let answers = async { self.admin.run_to_completion(creating).await };
        let answers = self.in_time(answers).await?;
        let mut answers = answers.map_err(|error| internal(&error))?.into_iter();
        let mut token: Option<Token> = None;
        let results = (0..).zip(permitted).map(|(index, permitted)| {
            // There is an answer for each that is permitted.
            let answer = permitted.map(|()| answers.next().unwrap_or(Err(Refusal::Unknown)));
            let answer = match answer {
                Err(denial) => return failed(status::denied(denial).into_item(index)),
                Ok(answer) => answer,
            };
            self.metrics.count_write(match &answer {
                Ok(answer) => created_or_unchanged(answer),
                Err(refusal) => failed_or_refused(Status::from(status::refusal(refusal)).code()),
            });
            if let Some(new) = answer.as_ref().ok().and_then(|answer| answer.token.as_ref()) {
                token = Some(token.take().map_or_else(|| new.clone(), |token| token.join(new)));
            }
            match answer {
                Ok(answer) => CreateAliasResult { response: Some(created(answer)), failure: None },
                Err(refusal) => failed(status::refusal(&refusal).into_item(index)),
            }
        });
        let results: Vec<CreateAliasResult> = results.collect();
        audited.items(|| all.into_iter().zip(&results).map(audited_item).collect());
        let consistency_token = token.map_or_else(String::new, |token| token.to_string());
        Ok(Response::new(BatchCreateAliasesResponse { results, consistency_token }))
    }

    async fn get_alias(
        &self,
        request: Request<GetAliasRequest>,
    ) -> Result<Response<Alias>, Status> {
        let GetAliasRequest { project_id, alias_id } = request.into_inner();
        self.lets_in(project_id, || of_alias(project_id, &alias_id))?;
        let shown = self.in_time(self.admin.get(project_id, alias_id)).await?;
        let shown = shown.map_err(|refusal| status::refusal(&refusal))?;
        self.shows(&shown);
        Ok(Response::new(alias(shown)))
    }

    async fn update_alias(
        &self,
        request: Request<UpdateAliasRequest>,
    ) -> Result<Response<UpdateAliasResponse>, Status> {
        let (admin, until) = self.writer();
        let UpdateAliasRequest { project_id, alias_id, canonical_id, expected_version } =
            request.into_inner();
        self.lets_in(project_id, || AuditedRequest {
            canonical: Some(CanonicalId(canonical_id.clone())),
            expected_version: Some(expected_version),
            ..of_alias(project_id, &alias_id)
        })?;
        let answer = async move {
            admin.update(project_id, alias_id, canonical_id, expected_version, until).await
        };
        let result = |answer: &WriteAnswer| match answer.changed {
            true => WriteResult::Updated,
            false => WriteResult::Unchanged,
        };
        let answer = self.carry_out(answer, result).await?;
        self.shows(&answer.view);
        let consistency_token = token_text(answer.token.as_ref());
        let alias = Some(alias(answer.view));
        Ok(Response::new(UpdateAliasResponse { alias, consistency_token }))
    }

    async fn delete_alias(
        &self,
        request: Request<DeleteAliasRequest>,
    ) -> Result<Response<DeleteAliasResponse>, Status> {
        let (admin, until) = self.writer();
        let DeleteAliasRequest { project_id, alias_id, expected_version } = request.into_inner();
        self.lets_in(project_id, || AuditedRequest {
            expected_version: Some(expected_version),
            ..of_alias(project_id, &alias_id)
        })?;
        let deleted =
            async move { admin.delete(project_id, alias_id, expected_version, until).await };
        let token = self.carry_out(deleted, |_| WriteResult::Deleted).await?;
        Ok(Response::new(DeleteAliasResponse { consistency_token: token.to_string() }))
    }

    async fn list_aliases(
        &self,
        request: Request<ListAliasesRequest>,
    ) -> Result<Response<ListAliasesResponse>, Status> {
        let ListAliasesRequest { project_id, canonical_id, page_size, page_token } =
            request.into_inner();
        self.lets_in(project_id, || AuditedRequest {
            project: Some(project_id),
            canonical: Some(CanonicalId(canonical_id.clone())),
            ..AuditedRequest::default()
        })?;
        let page = self.admin.list(project_id, canonical_id, page_size, &page_token);
        let page = self.in_time(page).await?.map_err(|refusal| status::refusal(&refusal))?;
        Ok(Response::new(ListAliasesResponse {
            aliases: page.aliases.into_iter().map(alias).collect(),
            next_page_token: page.next_page_token,
        }))
    }
}

/// The message of a panic is for the log, not for the client.
fn internal(error: &tokio::task::JoinError) -> Status {
    tracing::error!(%error, "a write panicked");
    CallFault::Internal("the write failed; see the server's log".to_owned()).into()
}

fn new_alias(request: CreateAliasRequest) -> NewAlias {
    let CreateAliasRequest { project_id, alias_id, canonical_id, dry_run } = request;
    NewAlias { project_id, alias_id, canonical_id, dry_run }
}

fn of_alias(project_id: u64, alias_id: &Bytes) -> AuditedRequest {
    let alias = Some(AliasId(alias_id.clone()));
    AuditedRequest { project: Some(project_id), alias, ..AuditedRequest::default() }
}

/// What a create asks for.
fn asked(new: &NewAlias) -> AuditedRequest {
    let canonical = Some(CanonicalId(new.canonical_id.clone()));
    AuditedRequest { canonical, dry_run: new.dry_run, ..of_alias(new.project_id, &new.alias_id) }
}

/// An item of a batch while it is not known what comes of it.
fn unknown(asked: &AuditedRequest) -> AuditedItem {
    let outcome = code_name(Code::Unknown);
    AuditedItem {
        asked: asked.clone(),
        outcome: AuditedOutcome { outcome, ..AuditedOutcome::default() },
    }
}

/// An item of a batch, and what came of it.
fn audited_item((asked, result): (AuditedRequest, &CreateAliasResult)) -> AuditedItem {
    let alias = result.response.as_ref().and_then(|response| response.alias.as_ref());
    let failure = result.failure.as_ref();
    let code = failure.map_or(Code::Ok, |failure| Code::from(failure.code));
    let outcome = AuditedOutcome {
        outcome: code_name(code),
        reason: failure.map(|failure| failure.reason.clone()),
        version: alias.map(|alias| alias.version),
    };
    AuditedItem { asked, outcome }
}

fn failed(failure: Failure) -> CreateAliasResult {
    CreateAliasResult { response: None, failure: Some(failure) }
}

fn created(answer: WriteAnswer) -> CreateAliasResponse {
    let consistency_token = token_text(answer.token.as_ref());
    CreateAliasResponse {
        created: answer.changed,
        alias: Some(alias(answer.view)),
        consistency_token,
    }
}

fn alias(AliasView { alias, row }: AliasView) -> Alias {
    Alias {
        project_id: alias.project().get(),
        alias_id: alias.into_id().into_bytes(),
        canonical_id: row.canonical.into_bytes(),
        version: row.version,
        create_time: timestamp(row.created),
        update_time: timestamp(row.updated),
    }
}

/// The time of a row as the contract shows it. The row of a dry run has none.
pub(crate) fn timestamp(Micros(us): Micros) -> Option<prost_types::Timestamp> {
    (us != 0).then(|| prost_types::Timestamp {
        seconds: us.div_euclid(1_000_000),
        nanos: (us.rem_euclid(1_000_000) * 1_000) as i32,
    })
}

fn token_text(token: Option<&Token>) -> String {
    token.map_or_else(String::new, Token::to_string)
}

fn created_or_unchanged(answer: &WriteAnswer) -> WriteResult {
    match answer.changed && answer.token.is_some() {
        true => WriteResult::Created,
        false => WriteResult::Unchanged,
    }
}

/// A refused write concerns the client, a failed one the operator.
fn failed_or_refused(code: tonic::Code) -> WriteResult {
    use tonic::Code::{DeadlineExceeded, Internal, Unavailable};
    match code {
        Unavailable | DeadlineExceeded | Internal => WriteResult::Failed,
        _ => WriteResult::Refused,
    }
}
