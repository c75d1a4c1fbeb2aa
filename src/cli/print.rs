//! Writing: stdout that may be closed under us, and ids that may be any bytes.

use super::fault::CliFault;
pub(super) use aka_wire::Quoted;
use base64::{Engine, prelude::BASE64_STANDARD};
use serde::{Serialize, Serializer, ser::SerializeMap};
use std::io::{self, ErrorKind, Write};

/// Writes to stdout and flushes: what is answered is seen at once, also through a pipe.
pub(super) fn to_stdout(bytes: &[u8]) -> Result<(), CliFault> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(|source| match source.kind() {
        ErrorKind::BrokenPipe => CliFault::Closed,
        _ => CliFault::Io { what: "cannot write to stdout", source },
    })
}

/// Writes a line to stderr. There is nobody left to tell if that fails.
pub(super) fn to_stderr(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Appends `value` as one line of JSON.
pub(super) fn push_json(out: &mut Vec<u8>, value: &impl Serialize) -> Result<(), CliFault> {
    serde_json::to_writer(&mut *out, value)
        .map_err(|fault| CliFault::Io { what: "cannot encode", source: fault.into() })?;
    out.push(b'\n');
    Ok(())
}

/// A text of the server's with its control characters escaped: it may quote an id that came from
/// anywhere, and must not steer the terminal.
pub(super) fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        match char.is_control() {
            true => out.extend(char.escape_debug()),
            false => out.push(char),
        }
    }
    out
}

/// An id as JSON fields: `NAME`, and `NAME_base64` where it is not UTF-8 and `NAME` is only lossy.
/// Flatten it into the object that it belongs to.
#[derive(Clone, Debug)]
pub struct JsonId {
    name: &'static str,
    name_base64: &'static str,
    pub(super) bytes: Vec<u8>,
}

impl JsonId {
    pub(super) fn item(bytes: &[u8]) -> Self {
        Self { name: "id", name_base64: "id_base64", bytes: bytes.to_vec() }
    }

    pub(super) fn alias(bytes: &[u8]) -> Self {
        Self { name: "alias_id", name_base64: "alias_id_base64", bytes: bytes.to_vec() }
    }

    pub(super) fn canonical(bytes: &[u8]) -> Self {
        Self { name: "canonical_id", name_base64: "canonical_id_base64", bytes: bytes.to_vec() }
    }

    pub(super) fn distinct(bytes: &[u8]) -> Self {
        Self { name: "distinct_id", name_base64: "distinct_id_base64", bytes: bytes.to_vec() }
    }
}

impl Serialize for JsonId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let lossy = String::from_utf8_lossy(&self.bytes);
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry(self.name, &lossy)?;
        if str::from_utf8(&self.bytes).is_err() {
            map.serialize_entry(self.name_base64, &BASE64_STANDARD.encode(&self.bytes))?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_of_a_text_are_escaped() {
        assert_eq!(printable("it's \"b\u{301}\"\u{9b}"), "it's \"b\u{301}\"\\u{9b}");
    }

    #[test]
    fn an_id_that_is_not_utf8_is_also_given_in_base64() {
        let json = |id: &[u8]| serde_json::to_string(&JsonId::distinct(id)).expect("it is JSON");
        assert_eq!(json(b"b1"), r#"{"distinct_id":"b1"}"#);
        assert_eq!(
            json(b"b\xff"),
            "{\"distinct_id\":\"b\u{fffd}\",\"distinct_id_base64\":\"Yv8=\"}"
        );
    }
}
