//! Rows that are JSON objects. A value is read only if it is asked for, and numbers stay as they are
//! written.

use super::fields::{FieldValue, Fields};
use super::row::RowFault;
use serde::de::{self, Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;

/// Some fields of an object.
#[derive(Debug)]
pub(super) struct JsonFields<'a>(Vec<(String, &'a RawValue)>);

impl<'a> JsonFields<'a> {
    /// Reads an object, and keeps the fields that are wanted.
    ///
    /// # Errors
    /// If it is no object, or has a wanted field twice.
    pub fn parse(text: &'a [u8], wanted: &dyn Fn(&str) -> bool) -> Result<Self, String> {
        let mut reader = serde_json::Deserializer::from_slice(text);
        let fields = reader.deserialize_map(WantedFields(wanted)).and_then(|fields| {
            reader.end()?;
            Ok(Self(fields))
        });
        // A row is one line, so its number there says nothing.
        fields.map_err(|fault| fault.to_string().replace(" at line 1 column ", " at column "))
    }

    pub fn raw(&self, name: &str) -> Option<&'a RawValue> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| *value)
    }

    /// The field of this name, if it is a string.
    pub fn string(&self, name: &str) -> Option<String> {
        serde_json::from_str(self.raw(name)?.get()).ok()
    }
}

impl Fields for JsonFields<'_> {
    fn get(&self, name: &str) -> Result<Option<FieldValue>, RowFault> {
        if let Some(raw) = self.raw(name) {
            return value(name, raw.get());
        }
        let Some((outer, inner)) = name.split_once('.') else { return Ok(None) };
        let Some(raw) = self.raw(outer) else { return Ok(None) };
        let is_wanted = |name: &str| name == inner;
        let malformed = |why| RowFault::malformed(format!("{outer}: {why}"));
        match raw.get().as_bytes() {
            text @ [b'{', ..] => JsonFields::parse(text, &is_wanted).map_err(malformed)?.get(inner),
            // An object within a text, as exports of databases have it.
            [b'"', ..] => {
                let text = string(outer, raw.get())?;
                if text.trim().is_empty() {
                    return Ok(None);
                }
                JsonFields::parse(text.as_bytes(), &is_wanted).map_err(malformed)?.get(inner)
            }
            _ => Ok(None),
        }
    }
}

/// What a value of JSON means.
fn value(name: &str, raw: &str) -> Result<Option<FieldValue>, RowFault> {
    let kind = match raw.as_bytes().first() {
        Some(b'"') => return Ok(Some(FieldValue::Text(string(name, raw)?))),
        Some(b'-' | b'0'..=b'9') => return Ok(Some(FieldValue::Number(raw.to_owned()))),
        Some(b'n') => return Ok(None),
        Some(b'{') => "an object",
        Some(b'[') => "a list",
        _ => raw,
    };
    Err(RowFault::malformed(format!("{name} is {kind}, and no string or number")))
}

/// Decodes a string whose syntax was checked. What may still be wrong are its escapes.
fn string(name: &str, raw: &str) -> Result<String, RowFault> {
    serde_json::from_str(raw).map_err(|_| {
        RowFault::malformed(format!(
            "{name} has one half of a surrogate pair (\\ud800 to \\udfff) without the other, which \
             is no character: the program that wrote it cut a character in two"
        ))
    })
}

/// Collects the fields that are wanted.
struct WantedFields<'w>(&'w dyn Fn(&str) -> bool);

impl<'de> Visitor<'de> for WantedFields<'_> {
    type Value = Vec<(String, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields: Self::Value = Vec::new();
        while let Some(FieldName(name)) = map.next_key()? {
            match name {
                Some(name) if (self.0)(&name) => {
                    if fields.iter().any(|(known, _)| *known == name) {
                        return Err(de::Error::custom(format_args!("{name} is there twice")));
                    }
                    fields.push((name, map.next_value()?));
                }
                // Whatever it holds, also bytes that are no text, it is not looked at.
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(fields)
    }
}

/// The name of a field; `None` if it is no text, as one with half of a surrogate pair.
struct FieldName(Option<String>);

impl<'de> Deserialize<'de> for FieldName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameVisitor;
        impl Visitor<'_> for NameVisitor {
            type Value = FieldName;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a field")
            }

            fn visit_bytes<E: de::Error>(self, name: &[u8]) -> Result<FieldName, E> {
                Ok(FieldName(str::from_utf8(name).ok().map(str::to_owned)))
            }
        }
        deserializer.deserialize_bytes(NameVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(text: &[u8], name: &str) -> Result<Option<FieldValue>, String> {
        let outer = name.split('.').next().expect("a name");
        let fields = JsonFields::parse(text, &|key| key == name || key == outer)?;
        fields.get(name).map_err(|fault| fault.message)
    }

    #[test]
    fn values_are_as_they_are_written() {
        let text = |text: &str| Ok(Some(FieldValue::Text(text.to_owned())));
        let number = |text: &str| Ok(Some(FieldValue::Number(text.to_owned())));
        let long = "123456789012345678901234567890";
        assert_eq!(get(br#"{"a":"x\u00e9\ud83d\ude00"}"#, "a"), text("x\u{e9}\u{1f600}"));
        assert_eq!(get(format!("{{\"a\": {long} }}").as_bytes(), "a"), number(long));
        assert_eq!(get(br#"{"a":1e400}"#, "a"), number("1e400"));
        assert_eq!(get(br#"{"a":null}"#, "a"), Ok(None));
        assert_eq!(get(br#"{"p":{"a":7},"p.b":"x"}"#, "p.a"), number("7"));
        assert_eq!(get(br#"{"p":{"b":7},"p.b":"x"}"#, "p.b"), text("x"));
        assert_eq!(get(br#"{"p":"{\"a\":\"x\"}"}"#, "p.a"), text("x"));
        assert_eq!(get(br#"{"p":[1]}"#, "p.a"), Ok(None));
    }

    #[test]
    fn what_is_not_asked_for_does_no_harm() {
        let odd = b"{\"note\":\"\xff \\ud83d\",\"\\udead\":{\"x\":[1e999]},\"a\":\"x\"}";
        assert_eq!(get(odd, "a"), Ok(Some(FieldValue::Text("x".to_owned()))));
    }

    #[test]
    fn what_cannot_be_an_id_is_named() {
        for (row, part) in [
            (&br#"{"a":"x\ud83d"}"#[..], "surrogate"),
            (br#"{"a":"\ude00x"}"#, "surrogate"),
            (br#"{"a":true}"#, "a is true"),
            (br#"{"a":{}}"#, "a is an object"),
            (br#"{"a":[]}"#, "a is a list"),
            (br#"{"a":"x","a":"y"}"#, "a is there twice"),
            (b"{\"a\":\"\xff\"}", "at column"),
            (br#"{"a":"x"} {}"#, "trailing"),
            (b"[]", "a JSON object"),
        ] {
            let why = get(row, "a").expect_err("it is no id");
            assert!(why.contains(part), "{why}");
        }
    }
}
