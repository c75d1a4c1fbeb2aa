//! One line of the audit trail.

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use serde::Serialize;
use serde::ser::SerializeMap;
use std::borrow::Cow;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;

/// The longest part of an id that is written, in bytes. A valid id is no longer.
const LONGEST_ID: usize = 255;

/// What an admin call asked for, and what came of it. As JSON it is one line.
#[derive(Serialize)]
pub struct AuditEntry {
    /// When the call ended.
    pub time: String,
    pub target: &'static str,
    /// The number of the call, which is in the change log too. As text, because not every reader of
    /// JSON keeps all of its digits.
    pub operation: String,
    /// `None`: it is not known, or there are no principals.
    pub principal: Option<String>,
    /// Where the client connected from. `None`: its connection had ended by then.
    pub peer: Option<String>,
    pub method: &'static str,
    /// What was asked for. Nothing if the call was refused before its message was read, or if that
    /// could not be read.
    #[serde(flatten)]
    pub asked: AuditedRequest,
    /// What came of it.
    #[serde(flatten)]
    pub outcome: AuditedOutcome,
    /// The items of a batch, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<AuditedItem>,
    /// The metadata `aka-reason`: why the caller did it, in its own words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// What a call, or an item of a batch, asked for.
#[derive(Clone, Default, Serialize)]
pub struct AuditedRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project: Option<u64>,
    #[serde(flatten)]
    pub alias: Option<AliasId>,
    #[serde(flatten)]
    pub canonical: Option<CanonicalId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected_version: Option<u64>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
}

/// How a call, or an item of a batch, ended.
#[derive(Clone, Default, Serialize)]
pub struct AuditedOutcome {
    /// The name of the gRPC code.
    pub outcome: &'static str,
    /// The reason of the `ErrorInfo`, if it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The version that the alias has now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
}

/// An item of a batch.
#[derive(Serialize)]
pub struct AuditedItem {
    #[serde(flatten)]
    pub asked: AuditedRequest,
    #[serde(flatten)]
    pub outcome: AuditedOutcome,
}

/// An id as the field `alias_id`.
#[derive(Clone)]
pub struct AliasId(pub Bytes);

/// An id as the field `canonical_id`.
#[derive(Clone)]
pub struct CanonicalId(pub Bytes);

impl Serialize for AliasId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        id(&self.0, ["alias_id", "alias_id_base64"], serializer)
    }
}

impl Serialize for CanonicalId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        id(&self.0, ["canonical_id", "canonical_id_base64"], serializer)
    }
}

/// An id as text, and in base64 too if the text is not all of it: it is not UTF-8, or it was cut.
fn id<S: serde::Serializer>(
    id: &[u8],
    [name, in_base64]: [&'static str; 2],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let cut = &id[..id.len().min(LONGEST_ID)];
    let text = String::from_utf8_lossy(cut);
    let text: Cow<'_, str> = match cut.len() < id.len() {
        true => format!("{text}… ({} bytes)", id.len()).into(),
        false => text,
    };
    let mut map = serializer.serialize_map(None)?;
    map.serialize_entry(name, &text)?;
    if str::from_utf8(cut).is_err() {
        map.serialize_entry(in_base64, &BASE64_STANDARD.encode(cut))?;
    }
    map.end()
}

/// This moment as RFC 3339 has it, in UTC.
pub(super) fn now() -> String {
    let mut text = String::new();
    // It fails only if the text cannot grow.
    let _ = tracing_subscriber::fmt::time::SystemTime.format_time(&mut Writer::new(&mut text));
    text
}
