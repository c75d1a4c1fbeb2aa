//! Texts that stand where a program should have put an id: templates that were not filled in, and
//! what JavaScript makes of a value that is no text.

/// What such texts begin and end with. Something may stand between.
const BRACKETS: [(&str, &str); 9] = [
    // Handlebars, Jinja, Liquid.
    ("{{", "}}"),
    ("{%", "%}"),
    // Shells, JavaScript, Java; Ruby; Ruby and Logstash; Salesforce.
    ("${", "}"),
    ("#{", "}"),
    ("%{", "}"),
    ("{!", "}"),
    // ERB, EJS, JSP.
    ("<%", "%>"),
    // Mailchimp.
    ("*|", "|*"),
    // An object of JavaScript, in lower case.
    ("[object ", "]"),
];

/// Whether a text that [`is_unfilled`] accepts may end with this byte. Hardly any id does. A text
/// that begins with `%` may end with any byte.
#[inline]
pub(super) const fn may_end(byte: u8) -> bool {
    matches!(byte, b'}' | b'>' | b'%' | b'*' | b']')
}

/// Whether a text is a template that was not filled in, or not a value at all. `text` has no blanks
/// or quotes around it.
pub(super) fn is_unfilled(text: &str) -> bool {
    let enclosed = |(open, close): &(&str, &str)| {
        text.len() >= open.len() + close.len()
            && text.ends_with(close)
            && text.get(..open.len()).is_some_and(|start| start.eq_ignore_ascii_case(open))
    };
    BRACKETS.iter().any(enclosed)
        || is_function(text)
        || is_numbered(text)
        || is_macro(text)
        || is_conversion(text)
}

/// The text of a JavaScript function that was not called.
fn is_function(text: &str) -> bool {
    let arguments = text.strip_prefix("function");
    let arguments = arguments.is_some_and(|rest| rest.trim_start().starts_with('('));
    arguments && text.ends_with('}')
}

/// `{}` or `{0}`, as in .NET, Python and Rust.
fn is_numbered(text: &str) -> bool {
    let number = text.strip_prefix('{').and_then(|text| text.strip_suffix('}'));
    number.is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// `%USER_ID%` or `%%user_id%%`, as in advertising and on Windows.
fn is_macro(text: &str) -> bool {
    let within = |edge| text.strip_prefix(edge).and_then(|text| text.strip_suffix(edge));
    let name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    within("%%").is_some_and(|name| !name.is_empty())
        || within("%").is_some_and(|text| !text.is_empty() && text.bytes().all(name))
}

/// `%s`, `%1$s`, `%lu`, `%@` or `%(user_id)s`, as in `printf` and its kin.
fn is_conversion(text: &str) -> bool {
    let Some(rest) = text.strip_prefix('%') else { return false };
    let rest = match rest.strip_prefix('(').map(|named| named.split_once(')')) {
        Some(Some((_name, rest))) => rest,
        Some(None) => return false,
        None => rest,
    };
    let flag = |char: char| char.is_ascii_digit() || matches!(char, '$' | '.' | 'l' | 'h' | 'z');
    matches!(rest.trim_start_matches(flag), "s" | "d" | "i" | "u" | "x" | "v" | "@")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_told_from_ids() {
        for text in [
            "{{user_id}}",
            "{{}}",
            "{% user %}",
            "${user.id}",
            "#{id}",
            "%{user_id}",
            "{!User.Id}",
            "<%= user.id %>",
            "*|EMAIL|*",
            "[object Undefined]",
            "[OBJECT null]",
            "function(){return this.get(\"distinct_id\")}",
            "function () { }",
            "{}",
            "{0}",
            "%USER_ID%",
            "%%=v(@id)=%%",
            "%s",
            "%1$s",
            "%lu",
            "%@",
            "%(user_id)s",
        ] {
            assert!(is_unfilled(text), "{text}");
            let last = text.bytes().last().is_some_and(may_end);
            assert!(last || text.starts_with('%'), "{text} is not looked at");
        }
        for text in [
            "bob",
            "{3f2504e0-4f89-11d3-9a0c-0305e82c3301}",
            "{\"a\":1}",
            "${HOME",
            "{{bob",
            "bob}}",
            "[object]",
            "[1]",
            "functional}",
            "<bob>",
            "<%>",
            "*|*",
            "%",
            "%%",
            "%20%41%",
            "%bob",
            "%(bob",
            "100%",
        ] {
            assert!(!is_unfilled(text), "{text}");
        }
    }
}
