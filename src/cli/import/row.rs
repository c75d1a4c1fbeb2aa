//! A row of a file: the alias that it names, or why it names none, and how it was written.

use crate::cli::server_error::ServerError;
use serde::Serialize;
use std::sync::Arc;
use tonic::Code;

/// What an import needs of a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct AliasRow {
    /// A string in JSON, as 64-bit numbers are in proto3.
    #[serde(serialize_with = "as_text")]
    pub project_id: u64,
    pub alias_id: String,
    pub canonical_id: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn as_text<S: serde::Serializer>(number: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(number)
}

/// A row that is to become an alias.
#[derive(Debug)]
pub(super) struct Row {
    /// From 1. The header of CSV and empty lines do not count.
    pub number: u64,
    /// Its first line, from 1. A row of CSV may have several lines.
    pub line: u64,
    pub written: RowText,
    pub alias: Result<AliasRow, RowFault>,
    /// The canonical id at the end of the row's chain, if `--flatten` found another one.
    pub chain_end: Result<Option<String>, RowFault>,
}

impl Row {
    /// The alias that is asked for, and its canonical id.
    ///
    /// # Errors
    /// If the row must not be sent.
    pub fn asked(&self) -> Result<(&AliasRow, &str), &RowFault> {
        let alias = self.alias.as_ref()?;
        let end = self.chain_end.as_ref()?.as_deref();
        Ok((alias, end.unwrap_or(&alias.canonical_id)))
    }

    /// The bytes that it takes in memory, roughly.
    pub fn bytes(&self) -> usize {
        self.written.text.len() + self.message_bytes()
    }

    /// The bytes that it takes in a message, roughly.
    pub fn message_bytes(&self) -> usize {
        self.asked().map_or(0, |(alias, canonical)| alias.alias_id.len() + canonical.len())
    }
}

/// A row as the file has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RowText {
    pub text: Vec<u8>,
    /// The header above it, if it is CSV.
    pub header: Option<Arc<HeaderText>>,
}

/// A header as the file has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HeaderText {
    pub text: Vec<u8>,
    pub delimiter: u8,
}

/// Why a row is not sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RowFault {
    /// For programs.
    pub reason: &'static str,
    /// For people.
    pub message: String,
}

impl RowFault {
    pub fn malformed(message: impl Into<String>) -> Self {
        Self { reason: "MALFORMED_ROW", message: message.into() }
    }
}

impl From<RowFault> for ServerError {
    fn from(RowFault { reason, message }: RowFault) -> Self {
        Self::new(Code::InvalidArgument, reason, &message)
    }
}
