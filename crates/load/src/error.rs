//! The errors that end a run early.

use std::io;

/// Why a load could not be run to its end. Wrong answers and failed calls are not errors: the
/// outcome counts them.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The plan contradicts itself.
    #[error("{0}")]
    Plan(&'static str),
    /// No running process has this process id.
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
    Io {
        /// The action that failed, as the beginning of a sentence.
        what: &'static str,
        /// The system's error.
        source: io::Error,
    },
    /// The generator itself is at fault. The text says how.
    #[error("{0}")]
    Broken(String),
}

impl LoadError {
    pub(crate) fn ended_early() -> Self {
        Self::Broken("a thread of the generator ended early".to_owned())
    }
}
