//! Creates and upgrades the tables of shards, and makes unclaimed databases shards of a cluster.

use super::sql::{
    Backend, MIGRATIONS, MySqlStore, Query, SqlRow, SqliteStore, Version, check_tables, classify,
    close, give_identity, not_akas, raise_version, read_identity,
};
use super::{Expected, Role, SCHEMA_VERSION, Store, StoreError};
use aka_core::domain::{ClusterId, Identity, Position, ShardId, SlotSet, random_u63};
use sqlx::SqlStr;
use sqlx::migrate::{Migrate, MigrateError, Migration, MigrationType, Migrator};
use std::borrow::Cow;
use std::sync::LazyLock;
use std::time::Duration;

/// A migration that was released must not change, not even in a comment: sqlx compares its checksum
/// with that of the one that ran.
///
/// sqlx has a macro for this too, but it builds the drivers a second time, for the compiler.
macro_rules! migrations {
    ($folder:literal, $($version:literal $name:literal),+) => {
        LazyLock::new(|| {
            let steps = [$((
                $version,
                $name,
                include_str!(concat!("../../migrations/", $folder, "/000", $version, "_", $name, ".sql")),
            )),+];
            let steps = steps.map(|(version, name, sql)| {
                let (name, sql) = (Cow::Borrowed(name), SqlStr::from_static(sql));
                Migration::new(version, name, MigrationType::Simple, sql, false)
            });
            Migrator::with_migrations(steps.to_vec())
        })
    };
}

static MYSQL: LazyLock<Migrator> = migrations!("mysql", 1 "init", 2 "groups", 3 "authors");
static SQLITE: LazyLock<Migrator> = migrations!("sqlite", 1 "init", 2 "groups", 3 "authors");

/// How often a migration of the embedded store is repeated if another one was in the way.
const FIRST_STARTS: u32 = 5;

/// What a migration does. A cluster is upgraded without a pause in three steps: expand, upgrade all
/// instances, contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Phases {
    /// Add what is new. Instances of the older version go on.
    pub expand: bool,
    /// Take the tables away from older versions.
    pub contract: bool,
}

impl Phases {
    pub const EXPAND: Self = Self { expand: true, contract: false };
}

/// The result of migrating one shard.
#[derive(Clone, Debug)]
pub struct Migrated {
    pub address: String,
    /// As it is now.
    pub identity: Identity,
    /// Whether the database was no shard before.
    pub claimed: bool,
}

/// Migrates the embedded store. It creates the file if there is none.
pub async fn sqlite(store: &SqliteStore, phases: Phases) -> Result<Migrated, StoreError> {
    let mut connections = vec![(store.address(), store.open(true).await?)];
    let mut migrated = shards(&SQLITE, &mut connections, phases).await;
    for _ in 0..FIRST_STARTS {
        // Two processes may start on a new file at once. The slower one finds the work done.
        if !matches!(migrated, Err(StoreError::Refused { .. } | StoreError::Busy { .. })) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        migrated = shards(&SQLITE, &mut connections, phases).await;
    }
    close_all(connections).await;
    migrated.and_then(|mut all| {
        all.pop().ok_or_else(|| StoreError::WrongShard("no shard is named".to_owned()))
    })
}

/// Migrates all shards of a cluster, which are named in shard order. A second run changes nothing.
/// A run after an interrupted one finishes its work.
pub async fn mysql(stores: &[MySqlStore], phases: Phases) -> Result<Vec<Migrated>, StoreError> {
    let mut connections = Vec::new();
    for store in stores {
        // As a reader: the server would abort a writer's connection while it waits for the others.
        match store.open(Role::Read).await {
            Ok(connection) => connections.push((store.address(), connection)),
            Err(error) => {
                close_all(connections).await;
                return Err(error);
            }
        }
    }
    let migrated = shards(&MYSQL, &mut connections, phases).await;
    close_all(connections).await;
    migrated
}

async fn close_all<B: Backend>(connections: Vec<(String, B)>) {
    for (_, connection) in connections {
        // The tables are there even if this fails.
        let _ = close(connection).await;
    }
}

async fn shards<B: Backend + Migrate>(
    migrator: &Migrator,
    connections: &mut [(String, B)],
    phases: Phases,
) -> Result<Vec<Migrated>, StoreError> {
    if let (Some(lock), Some((address, first))) = (B::MIGRATION_LOCK, connections.first_mut()) {
        // Held until the connection closes.
        let locked = first.fetch(Query::new(lock)).await;
        locked.map_err(|error| classify::<B>(address, error))?;
    }
    // All databases are checked before one is changed, so a list in the wrong order changes
    // nothing.
    let mut found = Vec::new();
    for (address, connection) in connections.iter_mut() {
        found.push(check_database(migrator, connection, address).await?);
    }
    let known = found.iter().flatten().next().map(|identity| identity.cluster);
    let mut expected =
        Expected { shard: ShardId(0), shard_count: connections.len() as u16, cluster: known };
    for (shard, ((address, _), identity)) in (0..).zip(connections.iter().zip(&found)) {
        expected.shard = ShardId(shard);
        if let Some(identity) = identity {
            expected.check(identity, address)?;
        }
        check_version(identity.as_ref(), phases, address)?;
    }
    let mut migrated = Vec::new();
    for (shard, (address, connection)) in (0..).zip(connections.iter_mut()) {
        let share = Identity {
            // The first shard decides, so that two migrations at once end with the same cluster.
            cluster: expected.cluster.unwrap_or_else(|| ClusterId(random_u63())),
            shard: ShardId(shard),
            shard_count: expected.shard_count,
            slots: SlotSet::even_share(shard, expected.shard_count),
            schema_version: SCHEMA_VERSION,
            min_compatible_version: SCHEMA_VERSION,
        };
        let mut claimed = false;
        if phases.expand {
            run(migrator, address, connection).await?;
            claimed = read_identity(connection, address).await?.is_none();
        }
        if claimed {
            let start = Position { seq: 0, nonce: random_u63() };
            give_identity(connection, address, &share, start).await?;
        }
        let identity = raise_versions(connection, address, phases).await?;
        expected.shard = ShardId(shard);
        expected.check(&identity, address)?;
        expected.cluster = Some(identity.cluster);
        migrated.push(Migrated { address: address.clone(), identity, claimed });
    }
    Ok(migrated)
}

/// Raises the versions that these phases raise, where they are lower. Returns the identity then.
async fn raise_versions<B: Backend>(
    connection: &mut B,
    address: &str,
    phases: Phases,
) -> Result<Identity, StoreError> {
    let lost = || StoreError::WrongShard(format!("{address} lost its tables in the migration"));
    let found = read_identity(connection, address).await?.ok_or_else(lost)?;
    // Nothing is written if there is nothing to do: the database may be read-only.
    if phases.expand && found.schema_version < SCHEMA_VERSION {
        raise_version(connection, address, Version::Schema).await?;
    }
    if phases.contract && found.min_compatible_version < SCHEMA_VERSION {
        raise_version(connection, address, Version::MinCompatible).await?;
    }
    read_identity(connection, address).await?.ok_or_else(lost)
}

/// Checks that these phases fit the tables. A migration never goes back to an older version.
fn check_version(
    found: Option<&Identity>,
    phases: Phases,
    address: &str,
) -> Result<(), StoreError> {
    let version = found.map_or(0, |identity| identity.schema_version);
    if version > SCHEMA_VERSION {
        return Err(StoreError::WrongShard(format!(
            "{address} has tables of version {version}, this aka knows only version {SCHEMA_VERSION}: run a newer aka"
        )));
    }
    if !phases.expand && version < SCHEMA_VERSION {
        return Err(StoreError::WrongShard(format!(
            "{address} has tables of version {version}, not {SCHEMA_VERSION} yet: run `aka migrate --phase expand` first"
        )));
    }
    Ok(())
}

/// Checks that the database holds no table of another program under the name of one of aka's, and
/// reads the identity of the shard, if it is one.
async fn check_database<B: Backend>(
    migrator: &Migrator,
    connection: &mut B,
    address: &str,
) -> Result<Option<Identity>, StoreError> {
    let tables = check_tables(connection, address).await?;
    let identity = read_identity(connection, address).await?;
    if identity.is_none() && tables.contains(&MIGRATIONS) {
        // An interrupted migration of aka leaves steps of aka alone. Other programs use sqlx too.
        let steps = Query::new(format!("SELECT version, checksum FROM {MIGRATIONS}"));
        let steps = connection.fetch(steps).await;
        for step in steps.map_err(|error| classify::<B>(address, error))? {
            let is_ours = |ours: &Migration| {
                step.int(0).is_ok_and(|version| version == ours.version)
                    && step.bytes(1).is_ok_and(|checksum| checksum == ours.checksum[..])
            };
            if !migrator.iter().any(is_ours) {
                return Err(not_akas(address, MIGRATIONS, "it has steps of another program"));
            }
        }
    }
    Ok(identity)
}

async fn run<B: Backend + Migrate>(
    migrator: &Migrator,
    address: &str,
    connection: &mut B,
) -> Result<(), StoreError> {
    migrator.run_direct(None, connection, false).await.map_err(|error| match error {
        MigrateError::VersionMissing(version) => StoreError::WrongShard(format!(
            "{address} has tables of version {version}, this aka knows only version {SCHEMA_VERSION}: run a newer aka"
        )),
        MigrateError::Dirty(version) => StoreError::WrongShard(format!(
            "{address}: an earlier migration stopped in the middle of version {version}: restore the database, or finish that step by hand and mark it in _sqlx_migrations"
        )),
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => {
            classify::<B>(address, error)
        }
        error => StoreError::Refused { address: address.to_owned(), cause: error.to_string() },
    })
}
