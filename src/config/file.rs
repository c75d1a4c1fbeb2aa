//! Reads the configuration file. A fault names the line and the key, but not the value, which may
//! be a password.

use super::fault::ConfigFault;
use super::settings::{DatabaseLayer, ServiceLayer};
use serde::Deserialize;
use std::path::Path;

/// The settings that a file holds.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct FileSettings {
    #[serde(flatten)]
    pub database: DatabaseLayer,
    #[serde(flatten)]
    pub service: ServiceLayer,
}

/// Reads the file.
///
/// # Errors
/// If it cannot be read, is not TOML, or has an unknown key or a value of the wrong type.
pub(super) fn read(path: &Path) -> Result<FileSettings, ConfigFault> {
    let text = std::fs::read_to_string(path);
    parse(path, &text.map_err(|error| fault_of(path, &error.to_string()))?)
}

fn fault_of(path: &Path, error: &str) -> ConfigFault {
    ConfigFault(format!("the configuration {} cannot be read: {error}", path.display()))
}

fn parse(path: &Path, text: &str) -> Result<FileSettings, ConfigFault> {
    let fault = |error: String| fault_of(path, &error);
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        fault(format!("line {line}: {}", error.message()))
    })?;
    // Key by key, so that the line is known.
    for (key, value) in &table {
        let alone = toml::Table::from_iter([(key.clone(), value.clone())]);
        if let Err(error) = alone.try_into::<FileSettings>() {
            let what = explain(key, error.message());
            return Err(fault(format!("line {}: {what}", line_of(key, text))));
        }
    }
    table.try_into().map_err(|_| fault("the settings do not fit together".to_owned()))
}

/// Why the value of a key, or the key itself, is refused. The value is not quoted.
fn explain(key: &str, error: &str) -> String {
    if error.starts_with("unknown field") {
        return format!("there is no setting {key:?}");
    }
    match error.rsplit_once("expected ") {
        Some((_, kind)) => format!("{key} must be {kind}"),
        None => format!("{key} has a value of the wrong kind"),
    }
}

/// The line on which a key of the file is set.
fn line_of(key: &str, text: &str) -> usize {
    let sets = |line: &str| {
        let rest = line.trim_start().trim_start_matches(['"', '\'']).strip_prefix(key);
        let rest = rest.map(|rest| rest.trim_start_matches(['"', '\'']).trim_start());
        rest.is_some_and(|rest| rest.starts_with(['=', '.']))
            || line.trim().trim_matches(['[', ']']) == key
    };
    text.lines().position(sets).map_or(1, |index| index + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzz::{always, spoiled};

    /// A file that is wrong is refused, and no value of it is shown.
    #[test]
    fn a_file_is_read_or_refused() {
        const SECRET: &str = "ZQXJKV";
        let good = format!(
            "listen = \"{SECRET}\"\ncache_mib = 64\nshards = [\"mysql://{SECRET}@h/d\"]\n\
             audit_sample = 0.5\nmax_connections = 3 # many\n"
        );
        parse(Path::new("aka.toml"), &good).map(drop).expect("good");
        always(|random| {
            let bytes = spoiled(random, good.clone().into_bytes())?;
            let text = String::from_utf8_lossy(&bytes);
            // A key is shown, and may hold what was a value.
            let is_value =
                |line: &str| line.split('=').next().is_none_or(|key| !key.contains(SECRET));
            if let Err(fault) = parse(Path::new("aka.toml"), &text)
                && text.lines().all(is_value)
            {
                assert!(!fault.0.contains(SECRET), "{fault}");
            }
            Ok(())
        });
    }
}
