//! Clients that read, and write down what they see.

use super::history::{History, Read, Seen};
use super::site::Site;
use aka_test_support::{Database, PROJECT, bytes};
use aka_wire::pb;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Status};

/// How long most clients wait for an answer, and how long one in a hurry waits.
pub const PATIENT: Duration = Duration::from_secs(8);
const HURRIED: Duration = Duration::from_millis(300);

/// The pause between two reads of one reader.
const PAUSE: Duration = Duration::from_millis(25);

/// All that the clients share.
pub struct World {
    pub site: Site,
    pub history: History,
    /// Only to find the shard of an id. After a failover its URLs are out of date.
    database: Database,
    /// The last acknowledged write of each key, and its token.
    tokens: Vec<Mutex<Option<(usize, String)>>>,
    pub stop: CancellationToken,
}

/// A write's index, and its token.
pub type Token = Option<(usize, String)>;

impl World {
    pub fn new(site: Site, history: History) -> Arc<Self> {
        let tokens = history.keys.iter().map(|_| Mutex::default()).collect();
        let database = site.database();
        Arc::new(Self { site, history, database, tokens, stop: CancellationToken::new() })
    }

    /// Which shard an id belongs on.
    pub fn shard_of(&self, id: &str) -> usize {
        self.database.shard_of(PROJECT, id)
    }

    pub fn token(&self, key: usize) -> Token {
        self.tokens[key].lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn acknowledged(&self, key: usize, write: usize, token: String) {
        let newest = &mut *self.tokens[key].lock().unwrap_or_else(PoisonError::into_inner);
        *newest = Some((write, token));
    }

    /// Reads a key, and writes down the outcome.
    pub async fn read(&self, key: usize, instance: usize, deadline: Duration, token: Token) {
        let (token_of, consistency_token) = token.unzip();
        let history = &self.history.keys[key];
        let request = pb::ResolveRequest {
            project_id: PROJECT,
            distinct_id: bytes(&history.id),
            consistency_token: consistency_token.unwrap_or_default(),
        };
        let aka = self.site.instance(instance);
        let arrived = self.history.now();
        let answer = aka.resolver().resolve(within(deadline, request)).await;
        let answered = self.history.now();
        let answer = answer.map(tonic::Response::into_inner).map_err(described);
        let answer = answer.map(|answer| Seen {
            state: history.state(answer.is_alias, &answer.canonical_id),
            degraded: answer.degraded,
        });
        history.read(Read { instance, arrived, answered, deadline, token_of, answer });
    }

    /// Whether an instance answers all ids of a shard, with no answer degraded.
    pub async fn answers(&self, instance: usize, shard: usize) -> bool {
        let ids = self.history.keys_on(shard).map(|(_, key)| bytes(&key.id));
        let request = pb::BatchResolveRequest {
            project_id: PROJECT,
            distinct_ids: ids.collect(),
            consistency_token: String::new(),
        };
        let aka = self.site.instance(instance);
        let answer = aka.resolver().batch_resolve(within(PATIENT, request)).await;
        answer.is_ok_and(|answer| {
            let answer = answer.into_inner();
            answer.failures.is_empty() && !answer.degraded
        })
    }
}

/// A request with this deadline.
pub fn within<T>(limit: Duration, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(limit);
    request
}

pub fn described(status: Status) -> (tonic::Code, String) {
    (status.code(), format!("{:?}: {}", status.code(), status.message()))
}

/// Reads the ids of one shard on one instance until the world stops.
pub async fn run(world: Arc<World>, instance: usize, shard: usize, seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let keys: Vec<usize> = world.history.keys_on(shard).map(|(index, _)| index).collect();
    while !world.stop.is_cancelled() {
        // Half of the reads are of a few ids, which are always in memory then.
        let most = if random.random_bool(0.5) { 3 } else { keys.len() };
        let key = keys[random.random_range(..most)];
        let deadline = if random.random_bool(0.1) { HURRIED } else { PATIENT };
        let token = if random.random_bool(0.3) { world.token(key) } else { None };
        world.read(key, instance, deadline, token).await;
        tokio::time::sleep(PAUSE).await;
    }
}
