//! Ids as JSON: they may be any bytes.

use base64::{Engine, prelude::BASE64_STANDARD};
use serde::{Serialize, Serializer, ser::SerializeMap};

/// An id as JSON fields: `NAME`, and also `NAME_base64` if it is not UTF-8: then `NAME` has
/// replacement characters. Flatten it into the object that it belongs to.
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
    fn an_id_that_is_not_utf8_is_also_given_in_base64() {
        let json = |id: &[u8]| serde_json::to_string(&JsonId::distinct(id)).expect("it is JSON");
        assert_eq!(json(b"b1"), r#"{"distinct_id":"b1"}"#);
        assert_eq!(
            json(b"b\xff"),
            "{\"distinct_id\":\"b\u{fffd}\",\"distinct_id_base64\":\"Yv8=\"}"
        );
    }
}
