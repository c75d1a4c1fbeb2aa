//! The flags of the commands, with the environment behind them, over the file.

use super::fault::ConfigFault;
use super::file::{self, FileSettings};
use super::settings::{DatabaseLayer, ServiceLayer};
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Command, Error, FromArgMatches};
use std::path::PathBuf;

/// Which databases: the flags that `serve`, `migrate`, `check` and `export` share.
#[derive(Clone)]
pub struct DatabaseFlags(LayerAndFile);

#[derive(Args, Clone)]
struct LayerAndFile {
    #[command(flatten)]
    layer: DatabaseLayer,

    /// A TOML file with these settings; its keys are the names of the flags with underscores,
    /// and `shards` is a list
    #[arg(long, env = "AKA_CONFIG", value_name = "FILE.toml")]
    config: Option<PathBuf>,
}

/// All that `aka serve` takes.
#[derive(Args, Clone)]
pub struct ServeFlags {
    #[command(flatten)]
    database: DatabaseFlags,

    #[command(flatten)]
    service: ServiceLayer,
}

impl DatabaseFlags {
    /// The flags and the environment over the file. A file may hold all of `serve`'s settings.
    pub(super) fn over_file(self) -> Result<DatabaseLayer, ConfigFault> {
        let file = self.file()?;
        Ok(over(self.0.layer, file.database))
    }

    fn file(&self) -> Result<FileSettings, ConfigFault> {
        self.0.config.as_deref().map_or_else(|| Ok(FileSettings::default()), file::read)
    }
}

impl ServeFlags {
    /// Which databases, for those that need no other setting.
    pub fn database(&self) -> DatabaseFlags {
        self.database.clone()
    }

    /// The flags and the environment over the file.
    pub(super) fn over_file(self) -> Result<(DatabaseLayer, ServiceLayer), ConfigFault> {
        let file = self.database.file()?;
        Ok((over(self.database.0.layer, file.database), self.service.over(file.service)))
    }
}

/// A layer that names one kind of database drops the other kind from the layer below.
fn over(above: DatabaseLayer, mut below: DatabaseLayer) -> DatabaseLayer {
    if above.sqlite.is_some() {
        below.shards = None;
    }
    if above.shards.is_some() {
        below.sqlite = None;
    }
    above.over(below)
}

impl FromArgMatches for DatabaseFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        Self::from_arg_matches_mut(&mut matches.clone())
    }

    /// Clap has merged flags and environment, value by value. So a kind of database from the
    /// environment is dropped here if a flag names the other kind.
    fn from_arg_matches_mut(matches: &mut ArgMatches) -> Result<Self, Error> {
        let (sqlite, shards) = (matches.value_source("sqlite"), matches.value_source("shards"));
        let mut flags = LayerAndFile::from_arg_matches_mut(matches)?;
        match (sqlite, shards) {
            (Some(ValueSource::CommandLine), Some(ValueSource::EnvVariable)) => {
                flags.layer.shards = None;
            }
            (Some(ValueSource::EnvVariable), Some(ValueSource::CommandLine)) => {
                flags.layer.sqlite = None;
            }
            _ => {}
        }
        Ok(Self(flags))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for DatabaseFlags {
    fn augment_args(command: Command) -> Command {
        LayerAndFile::augment_args(command)
    }

    fn augment_args_for_update(command: Command) -> Command {
        LayerAndFile::augment_args_for_update(command)
    }
}
