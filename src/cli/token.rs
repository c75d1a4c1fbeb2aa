//! The token with which a command says who it is.

use super::fault::CliFault;
use crate::auth::BearerToken;
use clap::Args;
use http::HeaderValue;
use std::env::VarError;
use std::path::{Path, PathBuf};

/// The variable that may hold the token itself. There is no flag: it would show in the list of
/// processes.
const VARIABLE: &str = "AKA_TOKEN";

/// Which token to send.
#[derive(Args, Clone, Debug)]
pub struct TokenArgs {
    /// A file that holds the token to send [default: the token in AKA_TOKEN, if there is one]
    #[arg(long, env = "AKA_TOKEN_FILE", value_name = "FILE")]
    pub token_file: Option<PathBuf>,
}

impl TokenArgs {
    /// The value of the header `authorization`. `None`: there is no token.
    pub(super) fn header(&self) -> Result<Option<HeaderValue>, CliFault> {
        let Some(token) = self.token()? else { return Ok(None) };
        let header = HeaderValue::try_from(format!("Bearer {}", token.reveal()));
        // A token is ASCII.
        header.map(Some).map_err(|_| CliFault::Usage("the token cannot be sent".to_owned()))
    }

    /// The token. `None`: there is none.
    pub(super) fn token(&self) -> Result<Option<BearerToken>, CliFault> {
        let Some((text, place)) = self.text()? else { return Ok(None) };
        // The fault never quotes it.
        let token = BearerToken::parse(text.trim()).ok_or_else(|| {
            CliFault::Usage(format!(
                "{place} holds no token of aka, or one that is cut short or damaged; `aka auth token` makes one"
            ))
        });
        token.map(Some)
    }

    /// The text that should be a token, and where it is from.
    fn text(&self) -> Result<Option<(String, String)>, CliFault> {
        if let Some(path) = &self.token_file {
            return read(path).map(|text| Some((text, format!("the file {}", path.display()))));
        }
        match std::env::var(VARIABLE) {
            Ok(text) if text.is_empty() => Ok(None),
            Ok(text) => Ok(Some((text, VARIABLE.to_owned()))),
            Err(VarError::NotPresent) => Ok(None),
            // The error would quote it.
            Err(VarError::NotUnicode(_)) => {
                Err(CliFault::Usage(format!("{VARIABLE} holds no token of aka")))
            }
        }
    }
}

fn read(path: &Path) -> Result<String, CliFault> {
    std::fs::read_to_string(path).map_err(|error| {
        CliFault::Usage(format!("the token file {} cannot be read: {error}", path.display()))
    })
}
