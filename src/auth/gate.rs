//! The gate: who a call is from, and whether it may do what it asks for.
//!
//! Every call of both gRPC sides passes it once at its head, for the role, and once with each of its
//! messages, for the project. So a stream is looked at again with each message.

use super::file::AuthFile;
use super::principal::{Principal, PrincipalRole};
use super::principals::Credential;
use super::token::TokenHash;
use crate::metrics::{GateResult, Metrics};
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use std::sync::Arc;

/// The gate of the server.
pub struct Gate {
    /// `None`: there are no principals, and everybody may do everything.
    file: Option<Arc<AuthFile>>,
    metrics: Arc<Metrics>,
}

/// Why a call is refused. It says nothing of projects or ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    #[error(
        "this server wants to know who calls: send a token as `authorization: Bearer …`, or show a client certificate"
    )]
    NoCredentials,
    #[error("these credentials are not known here, or are no longer valid")]
    BadCredentials,
    /// To the client the same as those that are not known.
    #[error("these credentials are not known here, or are no longer valid")]
    Expired,
    #[error("these credentials do not suffice: this call needs the role {0}")]
    Role(PrincipalRole),
    #[error("these credentials give no access to this project")]
    Project,
}

impl Denial {
    fn result(self) -> GateResult {
        match self {
            Self::NoCredentials => GateResult::NoCredentials,
            Self::BadCredentials => GateResult::BadCredentials,
            Self::Expired => GateResult::Expired,
            Self::Role(_) => GateResult::Role,
            Self::Project => GateResult::Project,
        }
    }
}

impl Gate {
    /// The gate for the principals of this file. Without a file everybody may do everything.
    pub fn new(file: Option<Arc<AuthFile>>, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self { file, metrics })
    }

    /// Whether there are principals, so that not everybody may do everything.
    pub fn has_principals(&self) -> bool {
        self.file.is_some()
    }

    /// The gate for the calls of one connection, whose client certificate names this URI.
    pub fn of_connection(self: &Arc<Self>, uri: Option<Arc<str>>) -> ConnectionGate {
        ConnectionGate { gate: self.clone(), uri, last: None }
    }

    fn count(&self, result: GateResult) {
        self.metrics.auth.of(result).increment(1);
    }
}

/// The gate for the calls of one connection. It remembers who called last: the next call has the same
/// credentials, and needs a comparison and no hash.
pub struct ConnectionGate {
    gate: Arc<Gate>,
    uri: Option<Arc<str>>,
    last: Option<Remembered>,
}

struct Remembered {
    /// The bytes of the header `authorization`.
    header: Option<Box<[u8]>>,
    caller: Arc<Caller>,
}

/// Somebody who was let in.
struct Caller {
    gate: Arc<Gate>,
    credential: Credential,
    principal: Arc<Principal>,
    /// The generation of the file that the principal is of.
    generation: u64,
}

/// A call that is let in. Clones are the same.
#[derive(Clone)]
pub struct Pass {
    /// `None`: there are no principals.
    caller: Option<Arc<Caller>>,
    role: PrincipalRole,
}

/// A call that is not let in.
pub struct Denied {
    pub why: Denial,
    /// Who it was, if that is known.
    pub who: Option<String>,
}

impl ConnectionGate {
    /// Lets a call in whose headers prove this role. Only the head of the call is looked at.
    ///
    /// # Errors
    /// If they do not.
    #[inline]
    pub fn admit(&mut self, headers: &HeaderMap, role: PrincipalRole) -> Result<Pass, Denied> {
        let Some(file) = &self.gate.file else { return Ok(Pass { caller: None, role }) };
        let mut given = headers.get_all(AUTHORIZATION).iter();
        let header = given.next().map(HeaderValue::as_bytes);
        let known = self.last.as_ref().filter(|last| {
            last.header.as_deref() == header && last.caller.generation == file.generation()
        });
        let found = match (given.next(), known) {
            (Some(_), _) => Err(Denial::BadCredentials),
            (None, Some(last)) => Ok(last.caller.clone()),
            (None, None) => self.identify(header),
        };
        let admitted = found.map_err(|why| (why, None)).and_then(|caller| {
            match check(&caller.principal, role, None) {
                Ok(()) => Ok(Pass { caller: Some(caller), role }),
                Err(why) => Err((why, Some(caller.principal.name.clone()))),
            }
        });
        self.gate.count(admitted.as_ref().map_or_else(|(why, _)| why.result(), |_| GateResult::Ok));
        admitted.map_err(|(why, who)| Denied { why, who })
    }

    /// Finds out who has these credentials, and remembers it. A header comes before the certificate:
    /// if it is wrong, the certificate does not help.
    #[cold]
    fn identify(&mut self, header: Option<&[u8]>) -> Result<Arc<Caller>, Denial> {
        let credential = match (header, &self.uri) {
            (Some(header), _) => {
                let hash = bearer(header).and_then(TokenHash::of);
                Credential::Token(hash.ok_or(Denial::BadCredentials)?)
            }
            (None, Some(uri)) => Credential::Uri(uri.clone()),
            (None, None) => return Err(Denial::NoCredentials),
        };
        let file = self.gate.file.as_ref().ok_or(Denial::BadCredentials)?;
        let (principal, generation) = file.find(&credential);
        let principal = principal.ok_or(Denial::BadCredentials)?;
        let caller = Caller { gate: self.gate.clone(), credential, principal, generation };
        let caller = Arc::new(caller);
        let header = header.map(Into::into);
        self.last = Some(Remembered { header, caller: caller.clone() });
        Ok(caller)
    }
}

impl Pass {
    /// Who was let in. `None`: there are no principals.
    pub fn who(&self) -> Option<&str> {
        self.caller.as_ref().map(|caller| &*caller.principal.name)
    }

    /// Checks that the call may ask for this project, now: principals change while calls go on.
    ///
    /// # Errors
    /// If it may not.
    #[inline]
    pub fn permits(&self, project: u64) -> Result<(), Denial> {
        self.check(Some(project))
    }

    /// Checks that the call may go on.
    ///
    /// # Errors
    /// If it may not.
    pub fn holds(&self) -> Result<(), Denial> {
        self.check(None)
    }

    #[inline]
    fn check(&self, project: Option<u64>) -> Result<(), Denial> {
        let Some(caller) = &self.caller else { return Ok(()) };
        let checked = match &caller.gate.file {
            Some(file) if file.generation() != caller.generation => {
                // They have changed since the call began.
                let principal = file.find(&caller.credential).0;
                let principal = principal.ok_or(Denial::BadCredentials);
                principal.and_then(|principal| check(&principal, self.role, project))
            }
            _ => check(&caller.principal, self.role, project),
        };
        checked.inspect_err(|denial| caller.gate.count(denial.result()))
    }
}

#[inline]
fn check(principal: &Principal, role: PrincipalRole, project: Option<u64>) -> Result<(), Denial> {
    if principal.is_expired() {
        return Err(Denial::Expired);
    }
    if principal.role < role {
        return Err(Denial::Role(role));
    }
    match project.is_none_or(|project| principal.projects.contains(project)) {
        true => Ok(()),
        false => Err(Denial::Project),
    }
}

/// What comes after "Bearer", which is not sensitive to case (RFC 9110, section 11.1).
fn bearer(header: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = header.split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| token.trim_ascii())
}
