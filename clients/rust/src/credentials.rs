//! The bearer token. That of a file is read again when the file changes.

use crate::clock;
use crate::error::ConnectError;
use parking_lot::Mutex;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};
use std::{fs, io};
use tonic::metadata::{Ascii, MetadataValue};

/// How often the file is looked at.
const LOOK: Duration = Duration::from_secs(1);

pub(crate) struct Credentials {
    /// `None`: the token stays as it is.
    path: Option<PathBuf>,
    known: Mutex<Known>,
}

struct Known {
    header: MetadataValue<Ascii>,
    stamp: Stamp,
    looked: Duration,
}

/// What changes with the file.
type Stamp = (Option<SystemTime>, u64);

impl Credentials {
    pub fn read(path: PathBuf) -> Result<Self, ConnectError> {
        let known = read(&path).map_err(|error| {
            ConnectError(format!("the token file {} cannot be used: {error}", path.display()))
        })?;
        Ok(Self { path: Some(path), known: Mutex::new(known) })
    }

    /// A token that stays as it is.
    pub fn fixed(token: &str) -> Result<Self, ConnectError> {
        let header = header(token)
            .map_err(|error| ConnectError(format!("the token cannot be used: {error}")))?;
        let known = Known { header, stamp: (None, 0), looked: clock::now() };
        Ok(Self { path: None, known: Mutex::new(known) })
    }

    /// The value of `authorization`. While the file cannot be read, the last one is used.
    pub fn header(&self) -> MetadataValue<Ascii> {
        let mut known = self.known.lock();
        let Some(path) = &self.path else { return known.header.clone() };
        let now = clock::now();
        if now.saturating_sub(known.looked) >= LOOK {
            known.looked = now;
            if stamp(path).is_ok_and(|stamp| stamp != known.stamp)
                && let Ok(read) = read(path)
            {
                *known = read;
            }
        }
        known.header.clone()
    }
}

fn stamp(path: &PathBuf) -> io::Result<Stamp> {
    fs::metadata(path).map(|known| (known.modified().ok(), known.len()))
}

fn read(path: &PathBuf) -> io::Result<Known> {
    // Before the text: a change in between is seen at the next look.
    let stamp = stamp(path)?;
    let header = header(&fs::read_to_string(path)?)?;
    Ok(Known { header, stamp, looked: clock::now() })
}

/// The value of `authorization` for this token.
fn header(text: &str) -> io::Result<MetadataValue<Ascii>> {
    let text = text.trim();
    let wrong = |why: &str| io::Error::new(io::ErrorKind::InvalidData, why.to_owned());
    if text.is_empty() {
        return Err(wrong("it is empty"));
    }
    let header = MetadataValue::try_from(format!("Bearer {text}"));
    // The error would quote the token.
    let mut header = header.map_err(|_| wrong("it holds more than one line of visible ASCII"))?;
    header.set_sensitive(true);
    Ok(header)
}
