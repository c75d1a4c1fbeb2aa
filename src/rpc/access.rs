//! Which role each RPC needs. This is the only place that says so.

use crate::auth::PrincipalRole;
use aka_wire::Method;

/// Who may call an RPC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everybody, also without credentials.
    Everybody,
    /// Who has this role, or one above it.
    Role(PrincipalRole),
}

impl Access {
    /// Who may call this method. A new method does not compile until it has its rule.
    pub fn of(method: Method) -> Self {
        match method {
            Method::Resolve
            | Method::BatchResolve
            | Method::StreamResolve
            | Method::GetAlias
            | Method::ListAliases => Self::Role(PrincipalRole::Reader),
            Method::CreateAlias
            | Method::BatchCreateAliases
            | Method::UpdateAlias
            | Method::DeleteAlias => Self::Role(PrincipalRole::Writer),
            // A probe has no credentials.
            Method::HealthCheck => Self::Everybody,
        }
    }
}

/// Who may ask for the descriptors of the services (server reflection).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReflectionAccess {
    /// Everybody: the contract is no secret.
    #[default]
    Open,
    /// Who has the role admin; everybody if there are no principals.
    Admin,
    /// Nobody: the server has no such service.
    Off,
}
