//! Writes events with other ids. All other bytes stay.

use super::event::{FoundId, MARK};
use bytes::Bytes;

/// What became of the ids of an event, one answer each: the canonical id if it is an alias.
pub(super) type Canonicals = Vec<Option<Bytes>>;

/// Appends the event, with the canonical ids in place of the aliases. `original` names the field
/// that keeps what was there; if the event has several ids, the name of each follows it.
pub(super) fn rewritten(
    out: &mut Vec<u8>,
    text: &[u8],
    ids: &[FoundId],
    canonicals: &Canonicals,
    original: Option<&str>,
) {
    let mut places: Vec<_> = ids.iter().zip(canonicals).collect();
    places.sort_unstable_by_key(|(found, _)| found.at.start);
    let mut done = 0;
    for (found, canonical) in places {
        let Some(canonical) = canonical else { continue };
        out.extend_from_slice(&text[done..found.at.start]);
        out.extend(quoted(&String::from_utf8_lossy(canonical)));
        if let Some(name) = original {
            let name = match ids {
                [_] => name.to_owned(),
                _ => format!("{name}_{}", found.field.rsplit('.').next().unwrap_or_default()),
            };
            out.push(b',');
            out.extend(quoted(&name));
            out.push(b':');
            out.extend_from_slice(&text[found.at.clone()]);
        }
        done = found.at.end;
    }
    out.extend_from_slice(&text[done..]);
}

/// Appends the event with the mark that its ids could not be looked up.
pub(super) fn marked(out: &mut Vec<u8>, text: &[u8]) {
    let mark = format!("\"{MARK}\":true,");
    // It has ids, so it is an object with a field, and begins with a brace.
    let (brace, rest) = text.split_at(1);
    out.extend_from_slice(brace);
    if !rest.starts_with(mark.as_bytes()) {
        out.extend_from_slice(mark.as_bytes());
    }
    out.extend_from_slice(rest);
}

/// A text of JSON.
fn quoted(text: &str) -> Vec<u8> {
    // A text can always be written.
    serde_json::to_vec(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str, part: &str, field: &str) -> FoundId {
        let start = text.find(part).expect("it is there");
        FoundId { id: Bytes::new(), at: start..start + part.len(), field: field.to_owned() }
    }

    #[test]
    fn only_the_ids_change() {
        let text = r#"{ "n":1e400,"userId" : "a\u0041",  "anonymousId":7 ,"n":"\/" }"#;
        let ids = [found(text, "7", "anonymousId"), found(text, r#""a\u0041""#, "userId")];
        let write = |canonicals: Canonicals, original| {
            let mut out = Vec::new();
            rewritten(&mut out, text.as_bytes(), &ids, &canonicals, original);
            String::from_utf8(out).expect("UTF-8")
        };
        assert_eq!(write(vec![None, None], Some("was")), text);
        let both = vec![Some("x\"".into()), Some("é".into())];
        assert_eq!(
            write(both.clone(), None),
            r#"{ "n":1e400,"userId" : "é",  "anonymousId":"x\"" ,"n":"\/" }"#
        );
        assert_eq!(
            write(both, Some("was")),
            r#"{ "n":1e400,"userId" : "é","was_userId":"a\u0041",  "anonymousId":"x\"","was_anonymousId":7 ,"n":"\/" }"#
        );
    }

    #[test]
    fn an_event_is_marked_once() {
        let mut once = Vec::new();
        marked(&mut once, b"{ \"a\":1}");
        assert_eq!(once, b"{\"$aka_unresolved\":true, \"a\":1}");
        let mut twice = Vec::new();
        marked(&mut twice, &once);
        assert_eq!(twice, once);
    }
}
