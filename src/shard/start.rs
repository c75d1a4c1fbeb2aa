//! The start of a cluster: waits for its shards, and checks that they are the ones that are meant.

use super::connection::in_time;
use super::primary::LEAST_STALENESS;
use super::settings::ClusterSettings;
use crate::store::{Directory, Role, Store, StoreError};
use aka_core::domain::{Identity, ShardId};
use std::time::{Duration, Instant};

/// The pause after the first attempt. It doubles with each.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// How often the log says what is waited for.
const REMINDER: Duration = Duration::from_secs(10);

/// Why the service does not start, in one clear sentence.
#[derive(Debug, thiserror::Error)]
pub enum StartFault {
    /// The configuration names the wrong databases. Starting again does not help.
    #[error("{0}")]
    Wrong(String),
    /// No shard answers in time, or none lets aka in. Starting again later may help.
    #[error("no shard can be used: {0}")]
    Unreachable(StoreError),
}

/// Asks the shards for their identities until one can be reached. `waiting` is told what is waited
/// for.
///
/// # Errors
/// If a database is not the shard that is meant, or if none was reached in time.
pub(super) async fn reach_shards(
    stores: &[Box<dyn Store>],
    directory: &Directory,
    settings: &ClusterSettings,
    waiting: impl Fn(&StoreError),
) -> Result<(), StartFault> {
    let begun = Instant::now();
    let (mut pause, mut reminded) = (FIRST_PAUSE, None::<Instant>);
    loop {
        let checked = check_shards(stores, directory, settings.shard.connect_timeout).await;
        check_staleness(stores, settings)?;
        let error = match checked {
            Err(StartFault::Unreachable(error)) if may_come(&error) => error,
            // What a database that answers says will not change by itself.
            checked => return checked,
        };
        waiting(&error);
        if reminded.is_none_or(|at| at.elapsed() >= REMINDER) {
            tracing::warn!(%error, "waiting for a shard that can be used");
            reminded = Some(Instant::now());
        }
        let limit = settings.start_timeout;
        if !limit.is_zero() && begun.elapsed() + pause >= limit {
            return Err(StartFault::Unreachable(error));
        }
        // A random part is cut off, so that the instances do not all come at the same moment.
        tokio::time::sleep(pause.mul_f64(rand::random_range(0.5..=1.0))).await;
        pause = (2 * pause).min(LONGEST_PAUSE);
    }
}

/// Whether the database may be reached later without anybody's help.
fn may_come(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::Unreachable { .. } | StoreError::TimedOut { .. } | StoreError::Busy { .. }
    )
}

/// Asks every shard for its identity.
async fn check_shards(
    stores: &[Box<dyn Store>],
    directory: &Directory,
    limit: Duration,
) -> Result<(), StartFault> {
    let asked = stores.iter().map(|store| identities(store.as_ref(), limit));
    let answers = futures::future::join_all(asked).await;
    let mut unreachable = None;
    for ((shard, store), answers) in (0..).map(ShardId).zip(stores).zip(answers) {
        let (mut reached, mut failed) = (false, None);
        for answer in answers {
            match answer {
                Ok(found) => {
                    directory.admit(shard, &found, &store.address()).map_err(wrong)?;
                    reached = true;
                }
                Err(error) => failed = Some(error),
            }
        }
        match failed {
            // A replica may lack the tables, because it lags.
            Some(error) if reached => tracing::warn!(%shard, %error, "a server cannot be used"),
            Some(error @ (StoreError::WrongShard(_) | StoreError::Refused { .. })) => {
                return Err(wrong(error));
            }
            Some(error) => unreachable = unreachable.or(Some((shard, error))),
            None => {}
        }
    }
    match (unreachable, directory.unowned()) {
        (Some((_, error)), _) if directory.cluster().is_none() => {
            Err(StartFault::Unreachable(error))
        }
        (Some((shard, error)), _) => {
            tracing::warn!(%shard, %error, "starting without a shard");
            Ok(())
        }
        (None, Some(slot)) => Err(StartFault::Wrong(format!(
            "no shard owns slot {}: correct shard_meta.slots of the shard that holds its rows",
            slot.get()
        ))),
        (None, None) => Ok(()),
    }
}

/// A name may mean several servers, which only a look-up shows.
fn check_staleness(
    stores: &[Box<dyn Store>],
    settings: &ClusterSettings,
) -> Result<(), StartFault> {
    let (limit, least) = (settings.limits.staleness, LEAST_STALENESS);
    match stores.iter().find(|store| store.is_group()) {
        Some(store) if limit < least => Err(StartFault::Wrong(format!(
            "{} is several servers: staleness_limit_ms must be {} or more, not {}",
            store.address(),
            least.as_millis(),
            limit.as_millis()
        ))),
        _ => Ok(()),
    }
}

/// The fault of a database that answers, but is not the shard that is meant.
fn wrong(error: StoreError) -> StartFault {
    StartFault::Wrong(error.to_string())
}

/// The identities that the servers of a shard hold.
async fn identities(store: &dyn Store, limit: Duration) -> Vec<Result<Identity, StoreError>> {
    let (address, servers) = (store.address(), store.servers().await);
    let asked = servers.iter().map(|server| async {
        let session = in_time(limit, &address, store.connect(server, Role::Read)).await?;
        let identity = session.identity().clone();
        session.close().await;
        Ok(identity)
    });
    futures::future::join_all(asked).await
}
