//! The password of the shards whose URL has none.

use super::fault::ConfigFault;
use std::fmt;
use std::path::{Path, PathBuf};

/// A text that is never shown.
#[derive(Clone)]
pub struct Secret {
    text: String,
    /// Where it was read, and may be another one by now.
    file: Option<PathBuf>,
}

impl Secret {
    /// The text of the file without its line end, else of the environment variable.
    pub(super) fn read(file: Option<&Path>) -> Result<Option<Self>, ConfigFault> {
        let Some(path) = file else {
            return Ok(std::env::var("AKA_SHARD_PASSWORD")
                .ok()
                .map(|text| Self { text, file: None }));
        };
        Ok(Some(Self { text: text_of(path)?, file: Some(path.to_owned()) }))
    }

    /// The text itself. If it came from a file, the file is read again, because operators change
    /// passwords while instances run. This may block for a moment.
    pub(super) fn reveal(&self) -> Result<String, ConfigFault> {
        match &self.file {
            Some(path) => text_of(path),
            None => Ok(self.text.clone()),
        }
    }
}

fn text_of(path: &Path) -> Result<String, ConfigFault> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        ConfigFault(format!("the password file {} cannot be read: {error}", path.display()))
    })?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
