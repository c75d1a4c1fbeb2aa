//! Faults of certificates and keys.

/// Why the files of TLS cannot be used. One clear sentence; it never quotes what a file holds.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct TlsFault(pub String);
