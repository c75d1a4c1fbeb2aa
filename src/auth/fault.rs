//! Faults of the file of principals.

/// Why the file cannot be used. One clear sentence. It quotes names, but no value, which may be a
/// token that somebody put there by mistake.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct AuthFault(pub String);
