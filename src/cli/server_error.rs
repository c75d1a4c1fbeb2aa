//! An error as it is shown: code, reason, message.

use super::json_id::JsonId;
use super::text::printable;
use aka_wire::pb::Failure;
use aka_wire::{Quoted, code_name};
use serde::Serialize;
use std::{collections::BTreeMap, fmt};
use tonic::{Code, Status};
use tonic_types::StatusExt;

/// An error that the server answered, for a whole call or for one item of a batch. Faults of the
/// command itself are shown in the same shape.
#[derive(Clone, Debug, Serialize)]
pub struct ServerError {
    /// The name of the gRPC code, e.g. `ALREADY_EXISTS`.
    pub code: &'static str,
    /// For programs, e.g. `ALIAS_TAKEN`; the name of the code if the server gave no reason.
    pub reason: String,
    /// For people.
    pub message: String,
    pub metadata: BTreeMap<String, String>,
    /// The id that was refused.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub item: Option<JsonId>,
}

impl ServerError {
    pub(super) fn new(code: Code, reason: &str, message: &str) -> Self {
        let code = code_name(code);
        let reason = if reason.is_empty() { code } else { reason };
        Self {
            code,
            reason: reason.to_owned(),
            message: message.to_owned(),
            metadata: BTreeMap::new(),
            item: None,
        }
    }

    /// The error that a status bears; `None` if it has no ErrorInfo of aka's.
    pub(super) fn from_status(status: &Status) -> Option<Self> {
        let info = status.get_details_error_info().filter(|info| info.domain == "aka")?;
        let error = Self::new(status.code(), &info.reason, status.message());
        Some(Self { metadata: info.metadata.into_iter().collect(), ..error })
    }

    /// The error of one item of a batch.
    pub(super) fn from_failure(failure: Failure, item: &[u8]) -> Self {
        let error = Self::new(Code::from(failure.code), &failure.reason, &failure.message);
        let metadata = failure.metadata.into_iter().collect();
        Self { metadata, item: Some(JsonId::item(item)), ..error }
    }
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", printable(&self.reason))?;
        if let Some(item) = &self.item {
            write!(f, "{}: ", Quoted(&item.bytes))?;
        }
        f.write_str(&printable(&self.message))
    }
}
