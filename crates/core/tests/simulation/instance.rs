//! The state of one running `aka`: the real memory, and the variables of its tasks.

use crate::checker::{Bound, Promised};
use crate::group::Server;
use crate::model::Micro;
use crate::schedule::Schedule;
use aka_core::clock::Boottime;
use aka_core::coherence::{
    Batch, Cache, FilterReplay, FilterScan, Found, Gather, Limits, LookupFailure, Memory, Need,
    Opened, PendingPage, PendingPoll, SavedAliases,
};
use aka_core::domain::{Change, Claim, Id, Loaded, LogPage, Position, ShardId, Token};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// The shard connections of a shard, by index. From [`LANE`] on they belong to the lanes.
pub const FEED: usize = 0;
pub const WRITER: usize = 1;
pub const ADMIN: usize = 2;
pub const FILTER: usize = 3;
pub const LANE: usize = 4;

/// The work of a task on its connection. The second part is the answer, once it is there.
#[derive(Default)]
pub enum Task {
    #[default]
    Idle,
    /// A lane connects, or pauses before it does.
    Connect,
    Poll(Option<PendingPoll>, Option<Box<LogPage>>),
    Load(Batch, Loaded),
    Write(Vec<Write>, Option<Transaction>),
    Show(usize, Option<Shown>),
    /// A beat is committed.
    Beat,
    /// A page of the filter's scan. It is one key long: which key, and what the database said.
    Scan(FilterScan, PendingPage, usize, Option<ScanPage>),
    /// A page of the log, for a filter that was saved.
    Replay(FilterReplay, Option<Box<LogPage>>),
}

/// A page of a filter's scan: its position, what its server says of itself, and what the key was
/// an alias of.
pub struct ScanPage {
    pub at: Position,
    pub claim: Claim,
    pub canonical: Option<Id>,
}

/// A write that a client has asked for.
#[derive(Clone, Copy)]
pub struct Write {
    pub key: usize,
    pub kind: WriteKind,
    /// No two writes have the same.
    pub id: u64,
    /// If there is no primary, it is held until then.
    pub until: Micro,
}

#[derive(Clone, Copy)]
pub enum WriteKind {
    /// Refused if the key is an alias already.
    Create(u32),
    /// Refused if the key is not an alias.
    Update(u32),
    Delete,
}

/// The results of a group of writes.
#[derive(Clone)]
pub struct Transaction {
    pub log: Vec<Change>,
    pub done: Vec<Done>,
    pub at: Position,
    /// The server is proven to be the primary, by an earlier beat or by this commit.
    pub proven: bool,
}

/// The result of one write.
#[derive(Clone, Copy)]
pub struct Done {
    /// If false, the write was refused, and the client is shown the row.
    pub written: bool,
    /// The position after the write, and when the last change up to there was committed.
    pub bound: Bound,
    pub is_alias: bool,
}

/// A row that an admin is shown.
#[derive(Clone, Copy)]
pub struct Shown {
    pub at: Position,
    pub is_alias: bool,
    /// The server is proven to be the primary.
    pub proven: bool,
    /// When the last change up to `at` was committed.
    pub committed: Micro,
}

#[derive(Default)]
pub struct ShardConnection {
    /// The server that the connection leads to, if it is open.
    pub session: Option<Server>,
    /// The connection fails when it is used next.
    pub broken: bool,
    pub opened: Opened,
    pub task: Task,
    /// The number of the present call. Events of earlier calls are ignored.
    pub number: u64,
    /// The connection was open before the call. If it is broken, the call is made once more.
    pub was_open: bool,
    /// The call is repeated, because a new epoch began during the first attempt.
    pub repeated: bool,
    /// When the present call is given up.
    pub until: Micro,
    /// The call may have been carried out.
    pub sent: bool,
    /// The connection belongs to a lane that takes keys.
    pub serves: bool,
}

/// The part of an instance that serves one shard.
pub struct Side {
    pub memory: Arc<Memory>,
    pub queue: VecDeque<usize>,
    pub connections: Vec<ShardConnection>,
    pub writes: VecDeque<Write>,
    pub shows: VecDeque<usize>,
    /// No lane is connected, and the last attempt failed.
    pub down: bool,
    /// The line whose server all connections use as the primary.
    pub leader: Option<usize>,
    /// Some lane is connected to a server that is not the primary.
    pub stands_in: bool,
    pub feed_paused_until: Micro,
    pub contradictions: u64,
    /// The aliases of a snapshot that are not in the cache yet.
    pub saved: Option<SavedAliases>,
}

impl Side {
    /// Whether a connection is open and may be used (rule 7).
    pub fn is_open(&self, connection: usize) -> bool {
        let connection = &self.connections[connection];
        connection.session.is_some() && self.memory.may_use(connection.opened)
    }
}

pub struct Instance {
    /// How often it was restarted.
    pub life: u64,
    /// The key of its cache.
    pub seed: u64,
    pub cache: Arc<Cache>,
    pub sides: Vec<Side>,
    /// How far its clock was put forward.
    pub ahead: Micro,
    pub suspended_until: Micro,
    /// The requests that wait for loads.
    pub waiting: Vec<usize>,
}

impl Instance {
    pub fn new(schedule: &Schedule, seed: u64, life: u64, ahead: Micro) -> Self {
        let cache = Arc::new(Cache::seeded(1 << 20, seed));
        let limits = Limits {
            staleness: Duration::from_micros(schedule.staleness),
            degraded: Duration::from_micros(schedule.degraded),
        };
        let side = |_| Side {
            memory: Arc::new(Memory::with_sizes(cache.clone(), limits, schedule.sizes)),
            queue: VecDeque::new(),
            connections: (0..=LANE + schedule.lanes).map(|_| ShardConnection::default()).collect(),
            writes: VecDeque::new(),
            shows: VecDeque::new(),
            down: false,
            leader: None,
            stands_in: false,
            feed_paused_until: 0,
            contradictions: 0,
            saved: None,
        };
        let sides = (0..schedule.shards).map(side).collect();
        Self { life, seed, cache, sides, ahead, suspended_until: 0, waiting: Vec::new() }
    }

    /// The time by its clock.
    pub fn clock(&self, now: Micro) -> Boottime {
        Boottime::from_nanos((now + self.ahead) * 1_000)
    }
}

/// A request whose misses wait for loads.
pub struct Request {
    pub instance: usize,
    pub life: u64,
    pub arrived: Micro,
    pub arrived_clock: Boottime,
    pub token: Option<Token>,
    pub marks: Vec<crate::client::Mark>,
    pub gather: Arc<Gather>,
    pub misses: Vec<Miss>,
    pub missing: usize,
}

pub struct Miss {
    pub key: usize,
    pub promised: Promised,
    pub answer: Option<Result<Found, LookupFailure>>,
}

impl Request {
    pub fn need(&self, shard: usize) -> Need {
        Need::new(self.arrived_clock, self.token.as_ref(), ShardId(shard as u16))
    }
}
