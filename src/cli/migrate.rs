//! `aka migrate`: creates or upgrades the tables.

use super::fault::CliFault;
use super::print::to_stdout;
use crate::config::{Database, DatabaseFlags};
use crate::store::migrate::{self, Migrated, Phases};

/// Flags of `aka migrate`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  aka migrate --shard mysql://aka@db0/aka --shard mysql://aka@db1/aka
  aka migrate --sqlite ./aka.db

On first use it assigns the cluster id, the shard ids in the order of the list, and the slots, \
evenly. Running it again changes nothing.

To upgrade a running cluster: first `aka migrate`, then all instances, then
`aka migrate --phase contract --confirm-all-upgraded`.")]
pub struct MigrateArgs {
    #[command(flatten)]
    flags: DatabaseFlags,

    /// What to do
    #[arg(long, value_enum, default_value_t = Phase::Expand)]
    phase: Phase,

    /// Say that no instance of an older version runs any more; a contraction wants it
    #[arg(long)]
    confirm_all_upgraded: bool,
}

/// The phases of a migration.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Phase {
    /// Add what is new; instances of the version before go on
    Expand,
    /// Refuse instances of older versions from now on
    Contract,
    /// Both
    All,
}

impl MigrateArgs {
    fn phases(&self) -> Result<Phases, CliFault> {
        if self.phase != Phase::Expand && !self.confirm_all_upgraded {
            return Err(CliFault::Usage(
                "a contraction stops instances of older versions: upgrade all of them, and then \
                 say so with --confirm-all-upgraded"
                    .to_owned(),
            ));
        }
        let Self { phase, .. } = self;
        Ok(Phases { expand: *phase != Phase::Contract, contract: *phase != Phase::Expand })
    }
}

pub async fn run(args: MigrateArgs) -> Result<(), CliFault> {
    let phases = args.phases()?;
    let migrated = match &Database::load(args.flags)? {
        Database::Sqlite(path) => vec![migrate::sqlite(&Database::sqlite(path)?, phases).await?],
        Database::MySql { shards, password, connect_timeout } => {
            let stores = Database::mysql(shards, password.as_ref(), *connect_timeout)?;
            migrate::mysql(&stores, phases).await?
        }
    };
    let lines: String = migrated.iter().map(line).collect();
    to_stdout(lines.as_bytes())
}

fn line(Migrated { address, identity, claimed }: &Migrated) -> String {
    let what = if *claimed { "created" } else { "already there" };
    format!(
        "shard {} of {} ({address}): {what}; cluster {}, slots {}, \
         tables of version {}, for aka that knows version {} or later\n",
        identity.shard,
        identity.shard_count,
        identity.cluster,
        identity.slots,
        identity.schema_version,
        identity.min_compatible_version,
    )
}
