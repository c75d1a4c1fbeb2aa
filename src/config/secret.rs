//! The password of the shards whose URL has none.

use super::fault::ConfigFault;
use std::env::VarError;
use std::fmt;
use std::path::{Path, PathBuf};

/// The variable that may hold it.
const VARIABLE: &str = "AKA_SHARD_PASSWORD";

/// A text that is never shown.
#[derive(Clone)]
pub struct Secret {
    text: String,
    /// Where it was read, and may be another one by now.
    file: Option<PathBuf>,
}

impl Secret {
    /// The text of the file, else of the environment variable, without the line ends at its end.
    pub(super) fn read(file: Option<&Path>) -> Result<Option<Self>, ConfigFault> {
        let Some(path) = file else {
            return Self::from_environment();
        };
        Ok(Some(Self { text: text_of(path)?, file: Some(path.to_owned()) }))
    }

    /// An empty variable is none. A variable often has a line end at its end, as a file has.
    fn from_environment() -> Result<Option<Self>, ConfigFault> {
        let text = match std::env::var(VARIABLE) {
            Ok(text) => without_line_end(&text),
            Err(VarError::NotPresent) => return Ok(None),
            // The error would quote it.
            Err(VarError::NotUnicode(_)) => {
                return Err(ConfigFault(format!("the password in {VARIABLE} is not UTF-8")));
            }
        };
        Ok(Some(Self { text, file: None }).filter(|secret| !secret.text.is_empty()))
    }

    /// The file that it is read from. `None`: it came from the environment.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
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
    Ok(without_line_end(&text))
}

fn without_line_end(text: &str) -> String {
    text.trim_end_matches(['\r', '\n']).to_owned()
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
