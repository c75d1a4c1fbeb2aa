//! The fields of an event that say something about its ids, with their places in its text.

use serde::de::{self, Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;
use std::ops::Range;

/// A field's value as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RawField<'a> {
    pub name: &'a str,
    pub raw: &'a str,
    /// Its place in the text that was parsed.
    pub at: Range<usize>,
}

/// The wanted fields of an object.
#[derive(Debug)]
pub(super) struct RawFields<'a>(Vec<RawField<'a>>);

impl<'a> RawFields<'a> {
    /// Reads an object, and keeps the fields of these names.
    ///
    /// # Errors
    /// If it is no object, or has a wanted field twice: then programs differ in which one they read.
    pub fn parse(text: &'a [u8], wanted: &[&'a str]) -> Result<Self, String> {
        let mut reader = serde_json::Deserializer::from_slice(text);
        let visited = reader.deserialize_map(Wanted(wanted)).and_then(|fields| {
            reader.end()?;
            Ok(fields)
        });
        let fields = visited
            .map_err(|fault| fault.to_string().replace(" at line 1 column ", " at column "))?;
        let start = text.as_ptr() as usize;
        let placed = fields.into_iter().map(|(index, value)| {
            let raw = value.get();
            let from = raw.as_ptr() as usize - start;
            RawField { name: wanted[index], raw, at: from..from + raw.len() }
        });
        Ok(Self(placed.collect()))
    }

    pub fn get(&self, name: &str) -> Option<&RawField<'a>> {
        self.0.iter().find(|field| field.name == name)
    }
}

/// Collects the fields of these names.
struct Wanted<'w>(&'w [&'w str]);

impl<'de> Visitor<'de> for Wanted<'_> {
    /// With the places of their names among those that are wanted.
    type Value = Vec<(usize, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields: Self::Value = Vec::new();
        while let Some(Key(index)) = map.next_key_seed(KeySeed(self.0))? {
            match index {
                Some(index) => {
                    if fields.iter().any(|(known, _)| *known == index) {
                        let name = self.0[index];
                        return Err(de::Error::custom(format_args!("{name} is there twice")));
                    }
                    fields.push((index, map.next_value()?));
                }
                // Whatever it holds, also bytes that are no text, it is not looked at.
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(fields)
    }
}

/// Which of the wanted names a key is.
struct Key(Option<usize>);

/// Reads a key without keeping it.
struct KeySeed<'w>(&'w [&'w str]);

impl<'de> de::DeserializeSeed<'de> for KeySeed<'_> {
    type Value = Key;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Key, D::Error> {
        deserializer.deserialize_bytes(self)
    }
}

impl Visitor<'_> for KeySeed<'_> {
    type Value = Key;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a field")
    }

    fn visit_bytes<E: de::Error>(self, name: &[u8]) -> Result<Key, E> {
        Ok(Key(self.0.iter().position(|wanted| wanted.as_bytes() == name)))
    }
}

/// What a value is as an id; `None` if it is null.
///
/// # Errors
/// If it is neither a text nor a whole number.
pub(super) fn id_of(field: &RawField<'_>) -> Result<Option<Vec<u8>>, String> {
    let name = field.name;
    match field.raw.as_bytes() {
        [b'n', ..] => Ok(None),
        [b'"', ..] => text_of(field).map(|text| Some(text.into_bytes())).ok_or_else(|| {
            format!(
                "{name} has one half of a surrogate pair without the other, which is no character"
            )
        }),
        [b'-', digits @ ..] | digits if !digits.is_empty() && is_whole(digits) => {
            Ok(Some(field.raw.as_bytes().to_vec()))
        }
        _ => Err(format!("{name} is neither a text nor a whole number")),
    }
}

fn is_whole(digits: &[u8]) -> bool {
    digits.iter().all(u8::is_ascii_digit)
}

/// The text of a value that is one.
pub(super) fn text_of(field: &RawField<'_>) -> Option<String> {
    String::deserialize(&mut serde_json::Deserializer::from_str(field.raw)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_have_their_places() {
        let text = br#"{ "a" : "x\u0041" , "b":{"a":1},"c":1e400, "\u0064": 7}"#;
        let fields = RawFields::parse(text, &["a", "b", "d", "z"]).expect("an object");
        for (name, raw) in [("a", r#""x\u0041""#), ("b", r#"{"a":1}"#), ("d", "7")] {
            let field = fields.get(name).expect("it is there");
            assert_eq!((field.raw, &text[field.at.clone()]), (raw, raw.as_bytes()));
        }
        assert!(fields.get("c").is_none() && fields.get("z").is_none());
    }

    #[test]
    fn ids_are_texts_and_whole_numbers() {
        let id = |raw: &str| id_of(&RawField { name: "a", raw, at: 0..0 });
        assert_eq!(id(r#""x\u0041""#), Ok(Some(b"xA".to_vec())));
        assert_eq!(id("123"), Ok(Some(b"123".to_vec())));
        assert_eq!(id("-5"), Ok(Some(b"-5".to_vec())));
        assert_eq!(id("null"), Ok(None));
        for raw in ["1.5", "1e400", "true", "{}", "[]", r#""\ud83d""#] {
            assert!(id(raw).is_err(), "{raw}");
        }
    }

    #[test]
    fn what_is_no_event_is_said() {
        for (text, part) in [
            (&b"[]"[..], "a JSON object"),
            (b"{\"a\":1,\"a\":2}", "a is there twice"),
            (b"{\"a\":1} x", "trailing"),
            (b"{\"a\":", "EOF"),
        ] {
            let why = RawFields::parse(text, &["a"]).expect_err("it is broken");
            assert!(why.contains(part), "{why}");
        }
    }
}
