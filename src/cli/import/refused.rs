//! The file of rows that were not imported. Each stands there as it was, and can be imported again.

use super::fields::{self, Fields};
use super::json_fields::JsonFields;
use super::row::{AliasRow, HeaderText, Row, RowText};
use crate::cli::fault::CliFault;
use crate::cli::print::push_json;
use crate::cli::server_error::ServerError;
use base64::{Engine, prelude::BASE64_STANDARD};
use serde::Serialize;
use std::borrow::Cow;
use std::ffi::OsString;
use std::fs::{self, File, Metadata, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

/// How often the file is opened if others remove it meanwhile.
const MOST_OPENINGS: usize = 1_000;

/// A row that was not imported.
#[derive(Debug)]
pub(super) struct RefusedRow {
    pub row: Row,
    pub error: ServerError,
}

/// A refused row as a line of the file. Bytes that are not UTF-8 are in Base64 too.
#[derive(Serialize)]
struct FiledLine<'a> {
    /// Aka's fields, if they could be read.
    #[serde(flatten)]
    alias: Option<&'a AliasRow>,
    record: u64,
    line: u64,
    row: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    row_base64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    header: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    header_base64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delimiter: Option<char>,
    error: &'a ServerError,
}

/// A line of a file of refused rows.
pub(super) struct FiledRow {
    pub written: RowText,
    /// Its fields, if they could be read.
    pub alias: Option<AliasRow>,
}

/// A file that exists before the first row is sent: what is refused must have a place. Rows are
/// appended, so that a second run keeps those of the first, and several imports may share a file.
pub(super) struct RefusedFile {
    pub path: PathBuf,
    file: File,
    /// Whether it was made here and is still empty, so that it is removed at the end.
    is_new: bool,
}

impl RefusedFile {
    /// # Errors
    /// If it cannot be written to, or is the file that is read.
    pub fn open(path: PathBuf, input: Option<&Metadata>) -> Result<Self, CliFault> {
        let cannot_open = |error: io::Error| {
            CliFault::Usage(format!(
                "cannot open {} for rows that are refused: {error}; --refused names another file",
                path.display()
            ))
        };
        let (file, is_new) = open_shared(&path).map_err(cannot_open)?;
        let opened = file.metadata().map_err(cannot_open)?;
        if input.is_some_and(|input| inode(input) == inode(&opened)) {
            // It would grow while it is read.
            let message = "the rows are read from the file that refused rows are added to: \
                           --refused names another file";
            return Err(CliFault::Usage(message.to_owned()));
        }
        Ok(Self { path, file, is_new })
    }

    pub fn add(&mut self, RefusedRow { row, error }: &RefusedRow) -> Result<(), CliFault> {
        let (text, text_base64) = as_text(&row.written.text);
        let header = row.written.header.as_deref();
        let (header_text, header_base64) = header.map(|header| as_text(&header.text)).unzip();
        let refused = FiledLine {
            alias: row.alias.as_ref().ok(),
            record: row.number,
            line: row.line,
            row: text,
            row_base64: text_base64,
            header: header_text,
            header_base64: header_base64.flatten(),
            delimiter: header.map(|header| header.delimiter.into()),
            error,
        };
        let mut line = Vec::new();
        push_json(&mut line, &refused)?;
        self.is_new = false;
        self.file.write_all(&line).map_err(|source| CliFault::Io {
            what: "cannot write the file of refused rows",
            source,
        })
    }
}

impl Drop for RefusedFile {
    fn drop(&mut self) {
        // Another import may have opened it by now. An empty file that stays does no harm.
        if self.is_new && self.file.try_lock().is_ok() {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Opens the file with a shared lock, and says whether it is new. Who holds the lock alone may remove
/// the file, so a file that was removed between opening and locking is opened anew.
fn open_shared(path: &Path) -> io::Result<(File, bool)> {
    let mut is_new = false;
    for _ in 0..MOST_OPENINGS {
        let mut options = OpenOptions::new();
        options.append(true);
        let file = match options.clone().create_new(true).open(path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                options.create(true).open(path)?
            }
            created => {
                is_new = true;
                created?
            }
        };
        match file.try_lock_shared() {
            Err(TryLockError::WouldBlock) => {}
            // Where nothing can be locked, the file stays.
            Err(TryLockError::Error(_)) => return Ok((file, false)),
            Ok(()) => {
                let here = fs::metadata(path);
                if here.is_ok_and(|here| {
                    file.metadata().is_ok_and(|ours| inode(&here) == inode(&ours))
                }) {
                    return Ok((file, is_new));
                }
            }
        }
        is_new = false;
        thread::yield_now();
    }
    Err(io::Error::other("another program keeps a lock on it"))
}

fn inode(file: &Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}

fn as_text(bytes: &[u8]) -> (Cow<'_, str>, Option<String>) {
    let text = String::from_utf8_lossy(bytes);
    let is_exact = matches!(text, Cow::Borrowed(_));
    (text, (!is_exact).then(|| BASE64_STANDARD.encode(bytes)))
}

impl FiledRow {
    /// Reads a line of a file of refused rows; `None` if the line is something else.
    pub fn parse(line: &[u8]) -> Option<Self> {
        // Most lines are something else.
        let is_likely = [&b"\"record\""[..], b"\"row\"", b"\"error\""]
            .iter()
            .all(|name| line.windows(name.len()).any(|part| part == *name));
        if !is_likely {
            return None;
        }
        let names = [
            "project_id",
            "alias_id",
            "canonical_id",
            "record",
            "row",
            "row_base64",
            "header",
            "header_base64",
            "delimiter",
            "error",
        ];
        let fields = JsonFields::parse(line, &|name| names.contains(&name)).ok()?;
        fields.raw("record")?.get().parse::<u64>().ok()?;
        if !fields.raw("error")?.get().starts_with('{') {
            return None;
        }
        let bytes = |name: &str, base64: &str| match fields.string(base64) {
            Some(encoded) => BASE64_STANDARD.decode(encoded).ok(),
            None => fields.string(name).map(String::into_bytes),
        };
        let text = bytes("row", "row_base64")?;
        let header = bytes("header", "header_base64").map(|text| {
            let delimiter = fields.string("delimiter").and_then(|text| text.bytes().next());
            Arc::new(HeaderText { text, delimiter: delimiter.unwrap_or(b',') })
        });
        let get = |name: &str| fields.get(name).ok().flatten();
        let id = |name: &str| get(name).and_then(|value| fields::id(name, value).ok());
        let project = get("project_id").and_then(|value| fields::project("", &value).ok());
        let alias = match (project, id("alias_id"), id("canonical_id")) {
            (Some(project_id), Some(alias_id), Some(canonical_id)) => {
                Some(AliasRow { project_id, alias_id, canonical_id })
            }
            _ => None,
        };
        Some(Self { written: RowText { text, header }, alias })
    }
}

/// `FILE.refused.ndjson`, in the working folder if the rows come from stdin.
pub(super) fn default_refused(file: Option<&Path>) -> PathBuf {
    let mut name: OsString =
        file.map_or_else(|| "aka-import".into(), |file| file.as_os_str().to_owned());
    name.push(".refused.ndjson");
    name.into()
}
