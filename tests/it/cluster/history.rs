//! The history of a run: what clients did and saw, and which faults happened.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tonic::Code;

/// The time since the run began.
pub type At = Duration;

/// The state of an id: the number in its canonical id `KEY-vNUMBER`, or `None` if it is no alias. Each
/// create and each update writes a new number, so an answer shows which write it saw.
pub type State = Option<u32>;

/// Every event of a run.
pub struct History {
    began: Instant,
    pub keys: Vec<KeyHistory>,
    troubles: Mutex<Vec<Trouble>>,
    failovers: Mutex<Vec<Failover>>,
}

/// Every event of one id.
pub struct KeyHistory {
    pub id: String,
    pub shard: usize,
    /// In order. Each had ended before the next one began.
    writes: Mutex<Vec<Write>>,
    reads: Mutex<Vec<Read>>,
}

#[derive(Clone, Debug)]
pub struct Write {
    pub to: State,
    /// The instance that it was sent to.
    pub instance: usize,
    /// All shards that the write needs.
    pub shards: Vec<usize>,
    pub began: At,
    pub ended: At,
    pub outcome: Outcome,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Acknowledged {
        token: String,
    },
    /// Definitely not done.
    Refused(String),
    /// It may have happened, or may still happen.
    Unknown(String),
}

#[derive(Clone, Debug)]
pub struct Read {
    pub instance: usize,
    pub arrived: At,
    pub answered: At,
    /// How long the client would wait.
    pub deadline: Duration,
    /// The index of the write whose token the read carried.
    pub token_of: Option<usize>,
    pub answer: Result<Seen, (Code, String)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// `Err` holds a value that was never written.
    pub state: Result<State, String>,
    pub degraded: bool,
}

/// A fault or its effect. Meanwhile, requests to `instance` (`None`: any) that need `shard`
/// (`None`: any) may fail, and no others.
#[derive(Clone, Debug, Default)]
pub struct Trouble {
    pub what: String,
    pub shard: Option<usize>,
    pub instance: Option<usize>,
    /// The same for writes. It reaches further, because an instance that is frozen in a transaction
    /// blocks the writes of all instances until the database ends the transaction.
    pub writes: (Option<usize>, Option<usize>),
    pub from: At,
    /// When the clients saw that it had healed.
    pub until: At,
}

/// A shard's primary was replaced by an older copy. Later writes are lost.
#[derive(Clone, Debug)]
pub struct Failover {
    pub shard: usize,
    /// The copy was made between these two times, and nothing was committed then.
    pub copied: (At, At),
    /// From this time on the old primary was dead.
    pub lost: At,
    /// From this time on the copy was the primary.
    pub replaced: At,
    /// The state in the copy of each id that was an alias.
    pub held: HashMap<String, u32>,
}

impl History {
    /// The empty history of some ids, each with its shard.
    pub fn new(keys: impl IntoIterator<Item = (String, usize)>) -> Self {
        let key = |(id, shard)| KeyHistory {
            id,
            shard,
            writes: Mutex::default(),
            reads: Mutex::default(),
        };
        Self {
            began: Instant::now(),
            keys: keys.into_iter().map(key).collect(),
            troubles: Mutex::default(),
            failovers: Mutex::default(),
        }
    }

    pub fn now(&self) -> At {
        self.began.elapsed()
    }

    pub fn troubled(&self, trouble: Trouble) {
        lock(&self.troubles).push(trouble);
    }

    pub fn failed_over(&self, failover: Failover) {
        lock(&self.failovers).push(failover);
    }

    pub fn troubles(&self) -> Vec<Trouble> {
        lock(&self.troubles).clone()
    }

    /// Of one shard, in order.
    pub fn failovers(&self, shard: usize) -> Vec<Failover> {
        let all = lock(&self.failovers);
        all.iter().filter(|failover| failover.shard == shard).cloned().collect()
    }

    /// The ids that are on a shard.
    pub fn keys_on(&self, shard: usize) -> impl Iterator<Item = (usize, &KeyHistory)> {
        self.keys.iter().enumerate().filter(move |(_, key)| key.shard == shard)
    }
}

impl KeyHistory {
    /// Returns the write's index.
    pub fn wrote(&self, write: Write) -> usize {
        let mut writes = lock(&self.writes);
        writes.push(write);
        writes.len() - 1
    }

    pub fn read(&self, read: Read) {
        lock(&self.reads).push(read);
    }

    pub fn writes(&self) -> Vec<Write> {
        lock(&self.writes).clone()
    }

    pub fn reads(&self) -> Vec<Read> {
        lock(&self.reads).clone()
    }

    /// The id that it is an alias of in a state; `None`: nobody's.
    pub fn canonical(&self, state: State) -> Option<String> {
        state.map(|number| format!("{}-v{number}", self.id))
    }

    /// Which state an answer is of.
    pub fn state(&self, is_alias: bool, canonical: &[u8]) -> Result<State, String> {
        let text = String::from_utf8_lossy(canonical);
        if !is_alias {
            return if *text == self.id { Ok(None) } else { Err(text.into_owned()) };
        }
        let number = text.strip_prefix(&self.id).and_then(|rest| rest.strip_prefix("-v"));
        number.and_then(|number| number.parse().ok()).map(Some).ok_or_else(|| text.into_owned())
    }
}

/// Reads show that a shard has healed. A write needs up to three more connections, and each pauses
/// after a failed attempt. P8 allows 5 s.
const REACHED_BY_WRITES: At = At::from_secs(2);

impl Trouble {
    /// Whether it excuses the failure of a request with these shards and this duration.
    pub fn excuses(&self, shards: &[usize], instance: usize, (from, until): (At, At)) -> bool {
        self.shard.is_none_or(|shard| shards.contains(&shard))
            && self.instance.is_none_or(|of| of == instance)
            && self.from <= until
            && from <= self.until
    }
}

impl Write {
    /// Whether it may have failed because of this.
    pub fn is_excused_by(&self, trouble: &Trouble) -> bool {
        let (shard, instance) = trouble.writes;
        let until = trouble.until + REACHED_BY_WRITES;
        let of_writes = Trouble { shard, instance, until, ..trouble.clone() };
        of_writes.excuses(&self.shards, self.instance, (self.began, self.ended))
    }

    pub fn acknowledged(&self) -> bool {
        matches!(self.outcome, Outcome::Acknowledged { .. })
    }
}

impl fmt::Display for Write {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outcome = match &self.outcome {
            Outcome::Acknowledged { .. } => "acknowledged",
            Outcome::Refused(why) | Outcome::Unknown(why) => why,
        };
        let Self { to, instance, began, ended, .. } = self;
        write!(f, "{began:>12.3?} to {ended:>12.3?} write {to:?} by {instance}")?;
        write!(f, " on shards {:?}: {outcome}", self.shards)
    }
}

impl fmt::Display for Read {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { instance, arrived, answered, token_of, answer, .. } = self;
        write!(f, "{arrived:>12.3?} to {answered:>12.3?} read by {instance}")?;
        if let Some(write) = token_of {
            write!(f, " with the token of write {write}")?;
        }
        write!(f, ": {answer:?}")
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, from, until, .. } = self;
        write!(f, "{from:>12.3?} to {until:>12.3?} {what}")
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
