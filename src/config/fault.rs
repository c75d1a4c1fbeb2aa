//! Faults of the configuration.

/// Why the configuration cannot be used. One clear sentence; it never quotes a password.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ConfigFault(pub String);
