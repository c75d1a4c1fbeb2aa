//! The file that is imported: a file, or stdin.

use crate::cli::fault::CliFault;
use crate::cli::spool::{cannot_spool, unnamed_file};
use std::fs::{File, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::AsFd;
use std::path::Path;

/// Where the rows come from.
pub(super) enum RowSource {
    File(File),
    Stdin,
}

impl RowSource {
    pub fn open(path: Option<&Path>) -> Result<Self, CliFault> {
        let Some(path) = path else { return Ok(Self::Stdin) };
        let opened = File::open(path);
        opened
            .map(Self::File)
            .map_err(|error| CliFault::Usage(format!("cannot open {}: {error}", path.display())))
    }

    /// What is known of the file; `None` if it is a pipe, a terminal or the like.
    pub fn metadata(&self) -> Option<Metadata> {
        let known = match self {
            Self::File(file) => file.metadata(),
            Self::Stdin => {
                io::stdin().as_fd().try_clone_to_owned().and_then(|fd| File::from(fd).metadata())
            }
        };
        known.ok().filter(Metadata::is_file)
    }

    pub fn reader(self) -> Box<dyn Read + Send> {
        match self {
            Self::File(file) => Box::new(file),
            Self::Stdin => Box::new(io::stdin()),
        }
    }

    /// A file that can be read twice. What comes through a pipe is kept in a temporary file.
    pub fn into_seekable(self) -> Result<File, CliFault> {
        match self {
            Self::File(file) if file.metadata().is_ok_and(|known| !is_stream(&known)) => Ok(file),
            source => {
                let mut kept = unnamed_file()?;
                io::copy(&mut source.reader(), &mut kept).map_err(cannot_spool)?;
                rewind(&mut kept)?;
                Ok(kept)
            }
        }
    }
}

/// Back to the first byte.
pub(super) fn rewind(file: &mut File) -> Result<(), CliFault> {
    file.seek(SeekFrom::Start(0))
        .map(drop)
        .map_err(|source| CliFault::Io { what: "cannot read the file once more", source })
}

/// Whether what was read is gone. A folder is none: reading it says what is wrong.
fn is_stream(known: &Metadata) -> bool {
    !known.is_file() && !known.is_dir()
}
