//! Why a run did not come to its end.

use std::io;

/// Why a load could not be run. Wrong answers and failed calls are no such error: they are counted
/// in the outcome.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The plan contradicts itself.
    #[error("{0}")]
    Plan(&'static str),
    /// None of the running processes has this id.
    #[error("there is no process {0}")]
    NoProcess(u32),
    /// Requests cannot be made for the server's URL.
    #[error("the server's URL cannot be used: {0}")]
    Url(#[from] http::Error),
    /// A connection could not be made.
    #[error("the server does not accept a connection")]
    Unreachable,
    /// The system refused a thread, a runtime or a timer.
    #[error("{what}: {source}")]
    Io { what: &'static str, source: io::Error },
    /// The generator itself is broken.
    #[error("{0}")]
    Broken(String),
}

impl LoadError {
    pub(crate) fn ended_early() -> Self {
        Self::Broken("a thread of the generator ended early".to_owned())
    }
}
