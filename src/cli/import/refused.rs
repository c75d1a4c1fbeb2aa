//! The file of rows that were not imported.

use crate::cli::fault::CliFault;
use crate::cli::print::push_json;
use crate::cli::rows::AliasRow;
use crate::cli::server_error::ServerError;
use serde::Serialize;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// A row that was not imported, as it is written for another import.
#[derive(Serialize)]
pub(super) struct RefusedRow {
    #[serde(flatten)]
    pub row: Option<AliasRow>,
    pub line: u64,
    pub error: ServerError,
}

/// A file that is made when the first row is refused. Rows are appended, so that a second run keeps
/// those of the first.
pub(super) struct RefusedFile {
    pub path: PathBuf,
    file: Option<File>,
}

impl RefusedFile {
    pub fn new(path: PathBuf) -> Self {
        Self { path, file: None }
    }

    pub fn add(&mut self, row: &RefusedRow) -> Result<(), CliFault> {
        let mut line = Vec::new();
        push_json(&mut line, row)?;
        let file = match &mut self.file {
            Some(file) => file,
            none => {
                let opened = OpenOptions::new().create(true).append(true).open(&self.path);
                none.insert(opened.map_err(cannot_write)?)
            }
        };
        file.write_all(&line).map_err(cannot_write)
    }
}

fn cannot_write(source: io::Error) -> CliFault {
    CliFault::Io { what: "cannot write the file of refused rows", source }
}

/// `FILE.refused.ndjson`, in the working folder if the rows come from stdin.
pub(super) fn default_refused(file: Option<&Path>) -> PathBuf {
    let mut name = file.map_or_else(|| "aka-import".into(), |file| file.as_os_str().to_owned());
    name.push(".refused.ndjson");
    name.into()
}
