//! `aka migrate`: creates or upgrades the tables.

use super::{exit, fail};
use crate::config::{Database, DatabaseFlags};
use crate::store::migrate::{self, Migrated};
use crate::store::{SCHEMA_VERSION, StoreError};
use std::process::ExitCode;

/// Flags of `aka migrate`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  aka migrate --shard mysql://aka@db0/aka --shard mysql://aka@db1/aka
  aka migrate --sqlite ./aka.db

On first use it gives out the cluster id, the shard ids in the order of the list, and the slots,
evenly. Run again it changes nothing.")]
pub struct MigrateArgs {
    #[command(flatten)]
    flags: DatabaseFlags,
}

impl MigrateArgs {
    pub(super) fn database(&mut self) -> &mut DatabaseFlags {
        &mut self.flags
    }
}

pub async fn run(args: MigrateArgs) -> ExitCode {
    let database = match Database::load(args.flags) {
        Ok(database) => database,
        Err(fault) => return fail(exit::CONFIG, fault),
    };
    let migrated = match &database {
        Database::Sqlite(path) => match Database::sqlite(path) {
            Ok(store) => migrate::sqlite(&store).await.map(|done| vec![done]),
            Err(fault) => return fail(exit::CONFIG, fault),
        },
        Database::MySql { shards, password, connect_timeout } => {
            match Database::mysql(shards, password.as_ref(), *connect_timeout) {
                Ok(stores) => migrate::mysql(&stores).await,
                Err(error) => Err(error),
            }
        }
    };
    match migrated {
        Ok(shards) => {
            shards.iter().for_each(print_shard);
            ExitCode::SUCCESS
        }
        Err(error @ StoreError::WrongShard(_)) => fail(exit::CONFIG, error),
        Err(error) => fail(exit::UNAVAILABLE, error),
    }
}

fn print_shard(Migrated { address, identity, claimed }: &Migrated) {
    let what = if *claimed { "created" } else { "already there" };
    println!(
        "shard {} of {} ({address}): {what}; cluster {}, slots {}, tables of version {SCHEMA_VERSION}",
        identity.shard, identity.shard_count, identity.cluster, identity.slots,
    );
}
