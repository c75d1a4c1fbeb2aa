//! `aka migrate`: creates or upgrades the tables.

use super::fault::CliFault;
use super::print::to_stdout;
use crate::config::{Database, DatabaseFlags};
use crate::store::SCHEMA_VERSION;
use crate::store::migrate::{self, Migrated};

/// Flags of `aka migrate`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  aka migrate --shard mysql://aka@db0/aka --shard mysql://aka@db1/aka
  aka migrate --sqlite ./aka.db

On first use it assigns the cluster id, the shard ids in the order of the list, and the slots, \
evenly. Running it again changes nothing.")]
pub struct MigrateArgs {
    #[command(flatten)]
    flags: DatabaseFlags,
}

pub async fn run(args: MigrateArgs) -> Result<(), CliFault> {
    let migrated = match &Database::load(args.flags)? {
        Database::Sqlite(path) => vec![migrate::sqlite(&Database::sqlite(path)?).await?],
        Database::MySql { shards, password, connect_timeout } => {
            let stores = Database::mysql(shards, password.as_ref(), *connect_timeout)?;
            migrate::mysql(&stores).await?
        }
    };
    let lines: String = migrated.iter().map(line).collect();
    to_stdout(lines.as_bytes())
}

fn line(Migrated { address, identity, claimed }: &Migrated) -> String {
    let what = if *claimed { "created" } else { "already there" };
    format!(
        "shard {} of {} ({address}): {what}; cluster {}, slots {}, \
         tables of version {SCHEMA_VERSION}\n",
        identity.shard, identity.shard_count, identity.cluster, identity.slots,
    )
}
