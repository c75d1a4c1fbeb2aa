//! Parses the file of principals: TOML, a `[[principal]]` for each.
//!
//! It is taken apart by hand, because an error of a parser quotes what it found, and that may be a
//! token which somebody put in by mistake.

use super::fault::AuthFault;
use super::principal::{Principal, PrincipalRole, ProjectSet};
use super::token::{BearerToken, TokenHash};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use toml::value::{Datetime, Offset};
use toml::{Table, Value};
use x509_cert::der;

/// The most principals, and the most credentials and projects of one.
const MOST_PRINCIPALS: usize = 10_000;
const MOST_CREDENTIALS: usize = 16;
const MOST_PROJECTS: usize = 10_000;
/// The longest name and the longest URI (that of SPIFFE's specification), in bytes.
const LONGEST_NAME: usize = 128;
const LONGEST_URI: usize = 2_048;

/// A principal, and the credentials that it is known by.
#[derive(Debug)]
pub struct Stanza {
    pub principal: Principal,
    pub hashes: Vec<TokenHash>,
    pub uris: Vec<String>,
}

/// Never shows a hash: it is of no use to people.
impl std::fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

/// All stanzas of a file, at least one. What two of them have in common is not looked for.
///
/// # Errors
/// The first fault.
pub fn parse(text: &str) -> Result<Vec<Stanza>, AuthFault> {
    let mut file: Table = text.parse().map_err(|error: toml::de::Error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        AuthFault(format!("line {} is not TOML", before.matches('\n').count() + 1))
    })?;
    let principals = match file.remove("principal") {
        Some(Value::Array(principals)) => principals,
        // A file that was cut to nothing would lock everybody out.
        None if file.is_empty() => return fault("it holds no [[principal]]"),
        None => Vec::new(),
        Some(_) => return fault("each principal must begin with [[principal]]"),
    };
    if let Some((key, _)) = file.iter().next() {
        return fault(&format!(
            "there is no key {key:?}: each principal begins with [[principal]]"
        ));
    }
    if principals.len() > MOST_PRINCIPALS {
        return fault(&format!("it holds more than {MOST_PRINCIPALS} principals"));
    }
    (1..).zip(principals).map(|(number, value)| stanza(number, value)).collect()
}

fn fault<T>(text: &str) -> Result<T, AuthFault> {
    Err(AuthFault(text.to_owned()))
}

/// One stanza. `number`: from 1.
fn stanza(number: usize, value: Value) -> Result<Stanza, AuthFault> {
    let Value::Table(mut keys) = value else {
        return fault("each principal must begin with [[principal]]");
    };
    let name = match keys.remove("name") {
        Some(Value::String(name)) if is_good_name(&name) => name,
        Some(_) => {
            return fault(&format!(
                "principal {number}: name must be 1 to {LONGEST_NAME} printable characters"
            ));
        }
        None => return fault(&format!("principal {number} has no name")),
    };
    let read = || {
        let role = keys.remove("role").ok_or("has no role")?;
        let projects = keys.remove("projects").ok_or("has no projects")?;
        let (role, projects) = (role_of(&role)?, projects_of(projects)?);
        let hashes = keys.remove("token_sha256").map(hashes_of).transpose()?.unwrap_or_default();
        let uris = keys.remove("spiffe").map(uris_of).transpose()?.unwrap_or_default();
        let not_after = keys.remove("not_after").map(|end| time_of(&end)).transpose()?;
        Ok((role, projects, hashes, uris, not_after))
    };
    let (role, projects, hashes, uris, not_after) =
        { read }().map_err(|what: &str| AuthFault(format!("principal {name:?} {what}")))?;
    if let Some((key, _)) = keys.iter().next() {
        return fault(&format!("principal {name:?} has a key {key:?}, which there is not"));
    }
    Ok(Stanza { principal: Principal { name, role, projects, not_after }, hashes, uris })
}

fn is_good_name(name: &str) -> bool {
    (1..=LONGEST_NAME).contains(&name.len()) && !name.contains(char::is_control)
}

fn role_of(value: &Value) -> Result<PrincipalRole, &'static str> {
    let role = value.as_str().and_then(PrincipalRole::of_name);
    role.ok_or("has a wrong role: it must be \"reader\", \"writer\" or \"admin\"")
}

fn projects_of(value: Value) -> Result<ProjectSet, &'static str> {
    const WRONG: &str = "has wrong projects: they must be \"*\" or a list of numbers above 0";
    let list = match value {
        Value::String(text) if text == "*" => return Ok(ProjectSet::All),
        Value::Array(list) if list.len() > MOST_PROJECTS => return Err("has too many projects"),
        Value::Array(list) if !list.is_empty() => list,
        _ => return Err(WRONG),
    };
    let number = |value: &Value| value.as_integer().filter(|number| *number > 0);
    let numbers: Option<Vec<i64>> = list.iter().map(number).collect();
    let mut numbers: Vec<u64> =
        numbers.ok_or(WRONG)?.into_iter().map(|number| number as u64).collect();
    numbers.sort_unstable();
    match numbers.windows(2).any(|pair| pair[0] == pair[1]) {
        true => Err("names a project twice"),
        false => Ok(ProjectSet::Some(numbers.into())),
    }
}

fn hashes_of(value: Value) -> Result<Vec<TokenHash>, &'static str> {
    let hash = |text: &str| match BearerToken::parse(text) {
        Some(_) => Err(
            "has a token itself in token_sha256: it must be the token's SHA-256. Give out another token, because this one has been written down",
        ),
        None => TokenHash::parse(text)
            .ok_or("has a wrong token_sha256: it must be a list of texts of 64 hexadecimal digits"),
    };
    texts(value, "has a wrong token_sha256: it must be a list of texts")?
        .iter()
        .map(|text| hash(text))
        .collect()
}

fn uris_of(value: Value) -> Result<Vec<String>, &'static str> {
    const WRONG: &str = "has a wrong spiffe: it must be a list of URIs that begin with spiffe://";
    let uris = texts(value, WRONG)?;
    let is_good = |uri: &String| {
        uri.strip_prefix("spiffe://").is_some_and(|rest| !rest.is_empty())
            && uri.len() <= LONGEST_URI
            && uri.bytes().all(|byte| byte.is_ascii_graphic())
    };
    if uris.iter().all(is_good) { Ok(uris) } else { Err(WRONG) }
}

fn texts(value: Value, wrong: &'static str) -> Result<Vec<String>, &'static str> {
    let Value::Array(list) = value else { return Err(wrong) };
    if list.len() > MOST_CREDENTIALS {
        return Err("has more than 16 tokens, or more than 16 URIs");
    }
    let text = |value| match value {
        Value::String(text) => Ok(text),
        _ => Err(wrong),
    };
    list.into_iter().map(text).collect()
}

fn time_of(value: &Value) -> Result<SystemTime, &'static str> {
    let time = value.as_datetime().and_then(moment);
    time.ok_or(
        "has a wrong not_after: it must be a time with its zone, as 2027-01-31T00:00:00Z, without quotes",
    )
}

/// The moment that a time with a zone means.
fn moment(time: &Datetime) -> Option<SystemTime> {
    let (date, clock, offset) = (time.date?, time.time?, time.offset?);
    let (hour, minute, second) = (clock.hour, clock.minute, clock.second.unwrap_or(0).min(59));
    let local = der::DateTime::new(date.year, date.month, date.day, hour, minute, second).ok()?;
    let east = match offset {
        Offset::Z => 0,
        Offset::Custom { minutes } => i64::from(minutes) * 60,
    };
    let seconds = i64::try_from(local.unix_duration().as_secs()).ok()?.checked_sub(east)?;
    Some(UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_a_zone() {
        let seconds = |text: &str| {
            let table: Table = format!("t = {text}").parse().expect("TOML");
            let time = time_of(&table["t"]).ok()?;
            Some(time.duration_since(UNIX_EPOCH).expect("after 1970").as_secs())
        };
        assert_eq!(seconds("2027-01-31T00:00:00Z"), Some(1_801_353_600));
        assert_eq!(seconds("2027-01-31T01:30:00+01:30"), Some(1_801_353_600));
        assert_eq!(seconds("2027-01-30 19:00:00-05:00"), Some(1_801_353_600));
        for wrong in ["2027-01-31T00:00:00", "2027-01-31", "00:00:00", "\"2027\"", "7"] {
            assert_eq!(seconds(wrong), None, "{wrong}");
        }
    }
}
