//! The password of the shards whose URL has none.

use super::fault::ConfigFault;
use std::env::VarError;
use std::fmt;
use std::path::Path;

/// The variable that may hold it.
const VARIABLE: &str = "AKA_SHARD_PASSWORD";

/// A text that is never shown.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// The text of the file, else of the environment variable, without the line ends at its end.
    pub(super) fn read(file: Option<&Path>) -> Result<Option<Self>, ConfigFault> {
        let Some(path) = file else {
            return Self::from_environment();
        };
        let text = std::fs::read_to_string(path).map_err(|error| {
            ConfigFault(format!("the password file {} cannot be read: {error}", path.display()))
        })?;
        Ok(Some(Self::without_line_end(&text)))
    }

    /// An empty variable is none. A variable often has a line end at its end, as a file has.
    fn from_environment() -> Result<Option<Self>, ConfigFault> {
        let secret = match std::env::var(VARIABLE) {
            Ok(text) => Self::without_line_end(&text),
            Err(VarError::NotPresent) => return Ok(None),
            // The error would quote it.
            Err(VarError::NotUnicode(_)) => {
                return Err(ConfigFault(format!("the password in {VARIABLE} is not UTF-8")));
            }
        };
        Ok(Some(secret).filter(|secret| !secret.0.is_empty()))
    }

    fn without_line_end(text: &str) -> Self {
        Self(text.trim_end_matches(['\r', '\n']).to_owned())
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
