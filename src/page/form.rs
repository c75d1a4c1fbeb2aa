//! What a lookup asks for.

use super::fault::PageFault;
use aka_core::domain::Project;
use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use serde::Deserialize;
use std::time::Duration;

/// The longest body. The longest id has 255 bytes, each of them at most six in JSON, and the longest
/// page token has less than 400.
const LONGEST: usize = 4 << 10;

/// How long a client may take to send it.
const PATIENCE: Duration = Duration::from_secs(5);

/// A lookup, as it was sent.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LookupForm {
    /// As text: JavaScript's numbers do not hold all of them.
    project_id: String,
    pub distinct_id: String,
    /// Where to go on in the list of aliases. Empty: at its beginning.
    #[serde(default)]
    pub page_token: String,
}

impl LookupForm {
    /// Reads the body of a request.
    ///
    /// # Errors
    /// If it is too long, too slow, or another form.
    pub async fn read(body: Incoming) -> Result<Self, PageFault> {
        let collected = tokio::time::timeout(PATIENCE, Limited::new(body, LONGEST).collect()).await;
        let collected = collected.map_err(|_| PageFault::Slow)?;
        let bytes: Bytes = match collected {
            Ok(collected) => collected.to_bytes(),
            Err(error) if error.is::<http_body_util::LengthLimitError>() => {
                return Err(PageFault::TooLong(LONGEST));
            }
            Err(_) => return Err(PageFault::BrokenOff),
        };
        serde_json::from_slice(&bytes).map_err(|error| PageFault::Malformed(error.to_string()))
    }

    /// The project.
    ///
    /// # Errors
    /// If there can be none with this number.
    pub fn project(&self) -> Result<Project, PageFault> {
        let digits = self.project_id.bytes().all(|byte| byte.is_ascii_digit());
        let number = digits.then(|| self.project_id.parse().ok()).flatten();
        number.and_then(Project::new).ok_or(PageFault::Project)
    }
}
