//! The password of the shards whose URL has none.

use super::fault::ConfigFault;
use std::fmt;
use std::path::Path;

/// A text that is never shown.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// The text of the file without its line end, else of the environment variable.
    pub(super) fn read(file: Option<&Path>) -> Result<Option<Self>, ConfigFault> {
        let Some(path) = file else {
            return Ok(std::env::var("AKA_SHARD_PASSWORD").ok().map(Self));
        };
        let text = std::fs::read_to_string(path).map_err(|error| {
            ConfigFault(format!("the password file {} cannot be read: {error}", path.display()))
        })?;
        Ok(Some(Self(text.trim_end_matches(['\r', '\n']).to_owned())))
    }

    /// The text itself.
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
