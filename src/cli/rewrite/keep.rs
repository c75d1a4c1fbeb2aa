//! The files beside the output: events that were rejected, and how far the command is.

use crate::cli::fault::CliFault;
use crate::cli::print::push_json;
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

/// An event that was rejected, as a line of the file.
#[derive(Serialize)]
pub(super) struct RejectedEvent<'a> {
    pub event: u64,
    pub reason: &'a str,
    pub text: &'a str,
}

/// The file of rejected events. It is opened before the first event is read.
pub(super) struct Rejects(Option<File>);

impl Rejects {
    pub fn open(path: Option<&Path>) -> Result<Self, CliFault> {
        let open = |path: &Path| {
            let opened = OpenOptions::new().create(true).append(true).open(path);
            opened.map_err(|error| {
                CliFault::Usage(format!("cannot open {}: {error}", path.display()))
            })
        };
        Ok(Self(path.map(open).transpose()?))
    }

    pub fn add(&mut self, rejected: &RejectedEvent<'_>) -> Result<(), CliFault> {
        let Some(file) = &mut self.0 else { return Ok(()) };
        let mut line = Vec::new();
        push_json(&mut line, rejected)?;
        file.write_all(&line)
            .map_err(|source| CliFault::Io { what: "cannot write to the file of rejects", source })
    }
}

/// What was written before, or by now.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub(super) struct WrittenEvents {
    /// How many events.
    pub events: u64,
    /// The fingerprint of these events, as they were read. So a file that belongs to another input is
    /// told from one of this input.
    pub fingerprint: String,
}

/// The file that remembers it.
pub(super) struct ResumeFile(Option<PathBuf>);

impl ResumeFile {
    pub fn new(path: Option<PathBuf>) -> Self {
        Self(path)
    }

    /// What was written before. `None`: nothing.
    pub fn read(&self) -> Result<Option<WrittenEvents>, CliFault> {
        let Some(path) = &self.0 else { return Ok(None) };
        let wrong = |why: String| CliFault::Usage(format!("{}: {why}", path.display()));
        match fs::read(path) {
            Ok(text) => serde_json::from_slice(&text).map_err(|error| wrong(error.to_string())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(wrong(error.to_string())),
        }
    }

    /// Replaces the file as a whole.
    pub fn write(&self, written: &WrittenEvents) -> Result<(), CliFault> {
        let Some(path) = &self.0 else { return Ok(()) };
        let mut new = path.clone().into_os_string();
        new.push(".new");
        let mut text = Vec::new();
        push_json(&mut text, written)?;
        let written = fs::write(&new, text).and_then(|()| fs::rename(&new, path));
        written.map_err(|source| CliFault::Io { what: "cannot write the resume file", source })
    }
}
