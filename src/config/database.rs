//! Which database the settings name, and its stores.

use super::fault::ConfigFault;
use super::flags::DatabaseFlags;
use super::secret::Secret;
use super::settings::DatabaseSettings;
use crate::store::{MySqlStore, PasswordSource, ShardUrl, SqliteStore, StoreError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Where the aliases are.
#[derive(Clone, Debug)]
pub enum Database {
    Sqlite(PathBuf),
    MySql { shards: Vec<ShardUrl>, password: Option<Secret>, connect_timeout: Duration },
}

impl Database {
    /// The database alone, for the commands that need no other setting.
    ///
    /// # Errors
    /// If the file cannot be read or a setting is wrong.
    pub fn load(flags: DatabaseFlags) -> Result<Self, ConfigFault> {
        Self::of(&flags.over_file()?.checked()?)
    }

    pub(super) fn of(settings: &DatabaseSettings) -> Result<Self, ConfigFault> {
        let password = Secret::read(settings.shard_password_file.as_deref())?;
        let named = whole_urls(settings.shards.iter().flatten());
        let named: Vec<_> = named.iter().map(String::as_str).collect();
        // As `$A,$B` is, if one of the two is not set. A shard that is missing silently would be a
        // smaller cluster, or an empty SQLite file in place of all shards.
        if named.contains(&"") {
            let fault = "the list of shards has an empty item: name each shard by its URL";
            return Err(ConfigFault(fault.to_owned()));
        }
        match (&settings.sqlite, named.is_empty()) {
            (Some(_), false) => Err(ConfigFault(
                "both a SQLite file and shards are named: name one of the two".to_owned(),
            )),
            (Some(path), true) => Ok(Self::Sqlite(path.clone())),
            (None, true) => Ok(Self::Sqlite(default_sqlite()?)),
            (None, false) => {
                let connect_timeout = Duration::from_millis(settings.connect_timeout_ms);
                Ok(Self::MySql { shards: shard_urls(&named)?, password, connect_timeout })
            }
        }
    }

    /// The stores of MySQL shards.
    ///
    /// # Errors
    /// If a URL and the password do not make a connection's options.
    pub fn mysql(
        shards: &[ShardUrl],
        password: Option<&Secret>,
        connect_timeout: Duration,
    ) -> Result<Vec<MySqlStore>, StoreError> {
        let password = password.cloned().map(|secret| {
            let read = move || secret.reveal().map_err(|fault| fault.to_string());
            Arc::new(read) as PasswordSource
        });
        let store =
            |url: &ShardUrl| MySqlStore::new(url.clone(), password.clone(), connect_timeout);
        shards.iter().map(store).collect()
    }

    /// The store of a SQLite file. Its folder is made if it does not exist.
    ///
    /// # Errors
    /// If the folder cannot be made.
    pub fn sqlite(path: &Path) -> Result<SqliteStore, ConfigFault> {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(|error| {
                ConfigFault(format!("cannot make the folder {}: {error}", folder.display()))
            })?;
        }
        Ok(SqliteStore::new(path.to_owned()))
    }
}

/// Puts URLs together again that were split at the commas between their servers.
fn whole_urls<'a>(items: impl Iterator<Item = &'a String>) -> Vec<String> {
    let mut urls: Vec<String> = Vec::new();
    for item in items.map(|item| item.trim()) {
        match urls.last_mut() {
            Some(url) if !item.is_empty() && !item.contains("://") && !url.is_empty() => {
                url.push(',');
                url.push_str(item);
            }
            _ => urls.push(item.to_owned()),
        }
    }
    urls
}

/// At most one for each slot, and none twice.
fn shard_urls(named: &[&str]) -> Result<Vec<ShardUrl>, ConfigFault> {
    if named.len() > usize::from(aka_core::domain::SLOTS) {
        return Err(ConfigFault("a cluster has at most 4096 shards".to_owned()));
    }
    let mut urls: Vec<ShardUrl> = Vec::with_capacity(named.len());
    for url in named {
        let url = url.parse().map_err(|error| ConfigFault(format!("{error}")))?;
        urls.push(url);
    }
    let twice = urls.iter().enumerate().find(|(n, url)| urls[..*n].contains(url));
    match twice {
        Some((_, url)) => Err(ConfigFault(format!("the shard {url} is named twice"))),
        None => Ok(urls),
    }
}

/// `aka.db` in the user's data folder.
fn default_sqlite() -> Result<PathBuf, ConfigFault> {
    let folders = directories::ProjectDirs::from("", "", "aka").ok_or_else(|| {
        ConfigFault("there is no home folder for the data: name a file with --sqlite".to_owned())
    })?;
    Ok(folders.data_dir().join("aka.db"))
}
