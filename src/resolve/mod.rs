//! The path of a read: validate, find the slot, look into memory, and wait for loads of the rest.

mod load;
mod read;
mod resolution;

pub use read::ReadTerms;
pub use resolution::{Aliases, Explained, Resolution};

use crate::metrics::{LookupResult, Metrics, Scarce};
use crate::quotas::{QuotaExceeded, QuotaKind, Quotas};
use crate::shard::Cluster;
use aka_core::coherence::Outcome;
use aka_core::domain::{MalformedToken, Placeholders, Project, Token};
use aka_wire::MAX_BATCH;
use bytes::Bytes;
use read::{Read, TURN};
use std::sync::Arc;

/// A thread that is late refuses batches of more ids than this whole.
const LARGE: usize = 1_000;

/// Answers reads. There is one for the service.
pub struct Resolver {
    cluster: Arc<Cluster>,
    placeholders: Placeholders,
    metrics: Arc<Metrics>,
    quotas: Quotas,
}

/// Why a whole read is refused. It is never refused because of an id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadRefusal {
    #[error("project_id is 0 or above 2^63 - 1")]
    Project,
    #[error("{0} ids are more than the {MAX_BATCH} that a batch may hold")]
    TooMany(usize),
    #[error("this server is late with its work and refuses what costs much; try again later")]
    Late,
    #[error(transparent)]
    Quota(#[from] QuotaExceeded),
    #[error("consistency_token {0}")]
    Token(#[from] MalformedToken),
}

impl Resolver {
    pub fn new(
        cluster: Arc<Cluster>,
        placeholders: Placeholders,
        metrics: Arc<Metrics>,
        quotas: Quotas,
    ) -> Self {
        Self { cluster, placeholders, metrics, quotas }
    }

    /// Resolves the ids of one request together. The answer comes by the deadline. An id that is
    /// not known by then is a failure of its own.
    ///
    /// # Errors
    /// Only if the request as a whole is wrong.
    pub async fn resolve<'a>(
        &self,
        project_id: u64,
        ids: impl ExactSizeIterator<Item = &'a [u8]> + Send,
        token: &str,
        terms: ReadTerms,
    ) -> Result<Resolution, ReadRefusal> {
        let project = Project::new(project_id).ok_or(ReadRefusal::Project)?;
        let count = ids.len();
        if count > MAX_BATCH {
            return Err(ReadRefusal::TooMany(count));
        }
        if count > LARGE && !terms.may_load {
            return Err(self.late());
        }
        let token = Token::parse(token, self.cluster.id)?;
        self.quotas.take(project, QuotaKind::Lookups, count)?;
        let read = self.read(project, token.as_ref(), terms);
        let mut resolution = Resolution::default();
        let mut misses = Vec::new();
        let mut ids = ids.enumerate();
        loop {
            read.answer_from_memory(ids.by_ref().take(TURN), &mut resolution, &mut misses);
            if ids.len() == 0 {
                break;
            }
            tokio::task::yield_now().await;
        }
        if !misses.is_empty() && !terms.may_load {
            self.metrics.shed.of(Scarce::Time).increment(misses.len() as u64);
            read.refuse(misses, &mut resolution);
        } else if !misses.is_empty() {
            // Boxed, so that a request without misses does not carry the state of the wait.
            Box::pin(read.load(misses, &mut resolution)).await;
            // Loads are answered in any order, and clients rely on the order of indexes.
            resolution.aliases.sort();
            resolution.failures.sort_unstable_by_key(|(index, _)| *index);
        }
        Ok(resolution)
    }

    /// Resolves one id as a call would, and says how. It is counted as one, too.
    ///
    /// # Errors
    /// If the project has used up its quota.
    pub async fn explain(
        &self,
        project: Project,
        id: &[u8],
        terms: ReadTerms,
    ) -> Result<Explained, QuotaExceeded> {
        self.quotas.take(project, QuotaKind::Lookups, 1)?;
        let read = self.read(project, None, terms);
        let (mut resolution, mut misses) = (Resolution::default(), Vec::new());
        let counts = read.answer_from_memory([(0, id)].into_iter(), &mut resolution, &mut misses);
        if !misses.is_empty() {
            Box::pin(read.load(misses, &mut resolution)).await;
        }
        let loaded = match resolution.failures.first() {
            Some((_, failure)) => LookupResult::Failed(*failure),
            None if resolution.degraded => LookupResult::Answered(Outcome::Degraded),
            None => LookupResult::Answered(Outcome::Loaded),
        };
        let canonical = resolution.aliases.iter().next();
        let canonical = canonical.map(|(_, canonical)| Bytes::copy_from_slice(canonical));
        Ok(Explained { canonical, result: counts.first().unwrap_or(loaded) })
    }

    fn read<'a>(
        &'a self,
        project: Project,
        token: Option<&'a Token>,
        terms: ReadTerms,
    ) -> Read<'a> {
        Read {
            cluster: &self.cluster,
            placeholders: &self.placeholders,
            lookups: &self.metrics.lookups,
            project,
            token,
            terms,
        }
    }

    /// The refusal of a whole request, because the thread that serves it is late.
    pub fn late(&self) -> ReadRefusal {
        self.metrics.shed.of(Scarce::Time).increment(1);
        ReadRefusal::Late
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shard::{ClusterSettings, ShardSettings};
    use crate::store::{SqliteStore, Store, migrate};
    use aka_core::clock::Boottime;
    use aka_core::coherence::Limits;
    use std::pin::pin;
    use std::time::Duration;

    /// Resolves ids. Returns the answer, and how many times the future was polled.
    async fn read(resolver: &Resolver, ids: &[String]) -> (Resolution, u32) {
        let arrived = Boottime::now();
        let until = arrived.plus(Duration::from_secs(30));
        let terms = ReadTerms { arrived, until, may_load: true };
        let mut turns = 0;
        let ids = ids.iter().map(String::as_bytes);
        let mut reading = pin!(resolver.resolve(7, ids, "", terms));
        let resolution = std::future::poll_fn(|context| {
            turns += 1;
            reading.as_mut().poll(context)
        });
        (resolution.await.expect("resolved"), turns)
    }

    #[tokio::test]
    async fn a_long_batch_yields_to_other_tasks() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = SqliteStore::new(folder.path().join("turns.db"));
        migrate::sqlite(&store, migrate::Phases::EXPAND).await.expect("migrated");
        let second = Duration::from_secs(1);
        let settings = ClusterSettings {
            cache_bytes: 64 << 20,
            limits: Limits { staleness: 30 * second, degraded: Duration::ZERO },
            start_timeout: second,
            shard: ShardSettings { query_timeout: 30 * second, ..ShardSettings::default() },
        };
        let metrics = Arc::new(Metrics::new());
        let stores: Vec<Box<dyn Store>> = vec![Box::new(store)];
        let cluster = Cluster::start(stores, &settings, &metrics, |_| {}).await.expect("started");
        let resolver =
            Resolver::new(cluster.clone(), Placeholders::default(), metrics, Quotas::none());
        // A placeholder needs no shard, so these reads wait for nothing else.
        for (count, turns) in [(0, 1), (1, 1), (TURN, 1), (TURN + 1, 2), (MAX_BATCH, 10)] {
            let (resolution, had) = read(&resolver, &vec!["null".to_owned(); count]).await;
            assert_eq!(had, turns, "{count}");
            assert_eq!(resolution.aliases.iter().len() + resolution.failures.len(), 0);
        }
        let missed: Vec<_> = (0..MAX_BATCH).map(|n| format!("nobody-{n}")).collect();
        let (resolution, had) = read(&resolver, &missed).await;
        assert!(had >= 10, "{had}");
        assert_eq!(resolution.failures, []);
        cluster.stop().await;
    }
}
