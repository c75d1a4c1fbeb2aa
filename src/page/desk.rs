//! Answers the lookups of the page.

use super::answer::{FoundBy, HomeOfId, IdKind, ListedAlias, LookupAnswer, RowView};
use super::fault::PageFault;
use super::form::LookupForm;
use super::origin::{self, Visitor};
use super::reply::reply;
use crate::admin::{Admin, Page, Refusal};
use crate::audit::{AliasId, AuditTrail, AuditedCall, AuditedRequest};
use crate::auth::{Denied, Gate, Pass, PrincipalRole};
use crate::metrics::LookupResult;
use crate::resolve::{Explained, ReadTerms, Resolver};
use crate::shard::Cluster;
use aka_core::clock::Boottime;
use aka_core::domain::{Project, Slot, random_u63, validate};
use aka_core::write::Author;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// How many lookups are under way at once. More would take the databases' connections from the admin
/// calls, and people do not need them.
const AT_ONCE: usize = 4;

/// How many aliases are listed at once: all that an id may have, unless that is configured.
const LISTED: i32 = 500;

/// The name of a lookup in the audit trail.
const AUDITED_AS: &str = "PageLookup";

/// Answers lookups. There is one for the server.
pub struct LookupDesk {
    parts: DeskParts,
    gate: Arc<Gate>,
    audit: AuditTrail,
    limit: Duration,
    places: Semaphore,
}

/// The parts of the service that answer for it.
pub struct DeskParts {
    pub cluster: Arc<Cluster>,
    pub resolver: Resolver,
    pub admin: Admin,
}

/// Answers a request for a lookup. Without a desk the server is still starting.
pub async fn look_up(
    desk: Option<&LookupDesk>,
    request: Request<Incoming>,
    visitor: &Visitor,
) -> Response<Full<Bytes>> {
    let answered = match desk {
        _ if *request.method() != Method::POST => Err(PageFault::Method),
        None => Err(PageFault::Starting),
        Some(desk) => desk.answer(request, visitor).await,
    };
    let json = answered.and_then(|answer| serde_json::to_vec(&answer).map_err(|_| PageFault::Bug));
    match json {
        Ok(json) => {
            let mut response = reply(StatusCode::OK, "application/json", json.into());
            let no_store = HeaderValue::from_static("no-store");
            response.headers_mut().insert(header::CACHE_CONTROL, no_store);
            response
        }
        Err(fault) => fault.response(),
    }
}

impl LookupDesk {
    /// The desk. `limit` is how long a lookup may take.
    pub fn new(parts: DeskParts, gate: Arc<Gate>, audit: AuditTrail, limit: Duration) -> Self {
        Self { parts, gate, audit, limit, places: Semaphore::new(AT_ONCE) }
    }

    /// Whether it wants to know who asks.
    pub fn has_principals(&self) -> bool {
        self.gate.has_principals()
    }

    async fn answer(
        &self,
        request: Request<Incoming>,
        visitor: &Visitor,
    ) -> Result<LookupAnswer, PageFault> {
        let (head, body) = request.into_parts();
        origin::check(&head.headers, visitor.tls || self.has_principals())?;
        let (admitted, audited) = self.admit(&head.headers, visitor);
        let answered = match admitted {
            Ok(pass) => self.answer_to(&pass, body, &audited).await,
            Err(fault) => Err(fault),
        };
        audited.ends(|| match &answered {
            Ok(_) => ("OK", None),
            Err(fault) => (code(fault), Some(fault.reason().to_owned())),
        });
        answered
    }

    /// Asks the gate, before anything else is looked at, and begins the line of the audit trail.
    fn admit(
        &self,
        headers: &HeaderMap,
        visitor: &Visitor,
    ) -> (Result<Pass, PageFault>, AuditedCall) {
        let mut gate = self.gate.of_connection(visitor.uri.clone());
        let admitted = gate.admit(headers, PrincipalRole::Reader);
        let who = match &admitted {
            Ok(pass) => pass.who(),
            Err(Denied { who, .. }) => who.as_deref(),
        };
        let author =
            Author { operation: random_u63(), principal: who.map(Into::into), reason: None };
        let audited = self.audit.begin(AUDITED_AS, visitor.address, &author);
        (admitted.map_err(|denied| PageFault::Denied(denied.why)), audited)
    }

    async fn answer_to(
        &self,
        pass: &Pass,
        body: Incoming,
        audited: &AuditedCall,
    ) -> Result<LookupAnswer, PageFault> {
        let form = LookupForm::read(body).await?;
        let project = form.project()?;
        audited.asks(|| AuditedRequest {
            project: Some(project.get()),
            alias: Some(AliasId(Bytes::copy_from_slice(form.distinct_id.as_bytes()))),
            ..AuditedRequest::default()
        });
        pass.permits(project.get()).map_err(PageFault::Denied)?;
        let _place = self.places.try_acquire().map_err(|_| PageFault::Busy)?;
        let found = tokio::time::timeout(self.limit, self.find(project, form)).await;
        found.map_err(|_| PageFault::Late(self.limit))?
    }

    async fn find(&self, project: Project, form: LookupForm) -> Result<LookupAnswer, PageFault> {
        let LookupForm { distinct_id: id, page_token, .. } = form;
        let (begun, arrived) = (Instant::now(), Boottime::now());
        let terms = ReadTerms { arrived, until: arrived.plus(self.limit), may_load: true };
        let explained = self.parts.resolver.explain(project, id.as_bytes(), terms).await;
        let Explained { canonical, result } = explained.map_err(PageFault::Quota)?;
        if let LookupResult::Failed(failure) = result {
            return Err(PageFault::Lookup(failure));
        }
        let place = self.place(project, id.as_bytes());
        let mut answer = LookupAnswer {
            project_id: project.get().to_string(),
            kind: IdKind::Alone,
            canonical_id: id.clone(),
            found: FoundBy::new(result, begun.elapsed()),
            place,
            canonical_place: place,
            alias: None,
            aliases: Some(Vec::new()),
            next_page_token: String::new(),
            trouble: None,
            never: None,
            id,
        };
        if result == LookupResult::Invalid {
            answer.kind = IdKind::Never;
            answer.never = Some(never(answer.id.as_bytes()));
            return Ok(answer);
        }
        if let Some(canonical) = canonical {
            answer.kind = IdKind::Alias;
            answer.canonical_id = String::from_utf8_lossy(&canonical).into_owned();
            self.add_row(project, &mut answer).await;
        }
        self.add_list(project, &page_token, &mut answer).await?;
        Ok(answer)
    }

    /// Adds the alias's own row. It is read after the lookup, so it may be newer. Then the answer is
    /// what the row says.
    async fn add_row(&self, project: Project, answer: &mut LookupAnswer) {
        let id = Bytes::copy_from_slice(answer.id.as_bytes());
        match self.parts.admin.get(project.get(), id).await {
            Ok(view) => {
                answer.alias = Some(RowView::of(&view.row));
                answer.canonical_id = view.row.canonical.to_text();
            }
            Err(Refusal::NotFound) => {
                answer.kind = IdKind::Alone;
                answer.canonical_id.clone_from(&answer.id);
            }
            Err(refusal) => answer.trouble = Some(trouble(&refusal)),
        }
    }

    /// Adds the aliases of the canonical id.
    ///
    /// # Errors
    /// If the page token is not of this list.
    async fn add_list(
        &self,
        project: Project,
        page_token: &str,
        answer: &mut LookupAnswer,
    ) -> Result<(), PageFault> {
        let canonical = Bytes::copy_from_slice(answer.canonical_id.as_bytes());
        answer.canonical_place = self.place(project, &canonical);
        let listed = self.parts.admin.list(project.get(), canonical, LISTED, page_token).await;
        match listed {
            Ok(Page { aliases, next_page_token }) => {
                if answer.kind == IdKind::Alone && !aliases.is_empty() {
                    answer.kind = IdKind::Canonical;
                }
                let listed = aliases.iter().map(|view| ListedAlias {
                    id: view.alias.id().to_text(),
                    row: RowView::of(&view.row),
                    place: self.place(project, view.alias.id().as_bytes()),
                });
                answer.aliases = Some(listed.collect());
                answer.next_page_token = next_page_token;
            }
            Err(Refusal::PageToken) => return Err(PageFault::PageToken),
            Err(refusal) => {
                answer.aliases = None;
                answer.trouble = Some(trouble(&refusal));
                if answer.kind == IdKind::Alone {
                    answer.kind = IdKind::Unlisted;
                }
            }
        }
        Ok(())
    }

    fn place(&self, project: Project, id: &[u8]) -> HomeOfId {
        let slot = Slot::of(project, id);
        let shard = self.parts.cluster.shard_of_slot(slot).map(|shard| shard.id.0);
        HomeOfId { slot: slot.get(), shard }
    }
}

/// Why an id can never be an alias.
fn never(id: &[u8]) -> String {
    match validate(id) {
        Err(fault) => format!("It {fault}."),
        Ok(()) => "It is a placeholder that broken clients send for people whom they do not know. \
                   An alias of it would join strangers."
            .to_owned(),
    }
}

/// Why rows could not be read, and what to do.
fn trouble(refusal: &Refusal) -> String {
    let why = match refusal {
        Refusal::Unavailable => "A shard that holds some of them cannot be reached.",
        Refusal::Barred(_) => "A shard that holds some of them does not let aka read.",
        Refusal::Overloaded => "Too many reads wait already.",
        other => return format!("The rows could not be read: {other}."),
    };
    format!("The rows could not be read. {why} Look at the shards, and try again.")
}

/// The name of the gRPC code that a call would end with, for the audit trail.
fn code(fault: &PageFault) -> &'static str {
    match fault {
        PageFault::Denied(
            crate::auth::Denial::NoCredentials
            | crate::auth::Denial::BadCredentials
            | crate::auth::Denial::Expired,
        ) => "UNAUTHENTICATED",
        PageFault::Denied(_) => "PERMISSION_DENIED",
        PageFault::Busy | PageFault::Quota(_) => "RESOURCE_EXHAUSTED",
        PageFault::Late(_) => "DEADLINE_EXCEEDED",
        PageFault::Lookup(_) => "UNAVAILABLE",
        _ => "INVALID_ARGUMENT",
    }
}
