//! Compares the aliases that look wrong with the change log.
//!
//! Somebody may have changed rows by hand. A repair must not make such damage look right, so rows
//! are compared with the newest lines of the change log about them.

use super::shards::ShardSessions;
use crate::store::StoreError;
use aka_core::domain::{Change, ForwardRow, Id, Key};
use std::collections::{HashMap, HashSet};

/// Lines of the log that one query reads.
const PAGE: u32 = 5_000;

/// The newest line of the change log about each alias that is looked at.
#[derive(Default)]
pub(super) struct History {
    suspects: HashSet<Key>,
    lines: HashMap<Key, LoggedState>,
    /// By shard: the first seq that is not read yet.
    next: Vec<u64>,
}

/// The state of an alias after a line of the change log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedState {
    pub version: u64,
    /// `None`: no alias any more.
    pub canonical: Option<Id>,
}

impl LoggedState {
    /// Whether the row is as the line says.
    fn agrees(&self, row: Option<&ForwardRow>) -> bool {
        match (row, &self.canonical) {
            (Some(row), Some(canonical)) => {
                row.version == self.version && row.canonical == *canonical
            }
            (None, None) => true,
            _ => false,
        }
    }
}

/// A row, compared with the newest line about it.
pub(super) enum Verdict {
    /// The row is as its write left it.
    Confirmed,
    /// The row is not as its write left it.
    Differs(LoggedState),
    /// There is no line, or the alias is being changed at this moment.
    Unknown,
}

impl History {
    pub fn new(suspects: HashSet<Key>, shards: usize) -> Self {
        Self { suspects, lines: HashMap::new(), next: vec![0; shards] }
    }

    /// Takes a line of a shard. Lines come in order.
    pub fn read(&mut self, shard: usize, change: &Change) {
        self.next[shard] = change.at.seq + 1;
        if self.suspects.contains(&change.alias) {
            let line = LoggedState { version: change.at.seq, canonical: change.new.clone() };
            self.lines.insert(change.alias.clone(), line);
        }
    }

    /// Compares the suspects with their rows.
    ///
    /// A line counts only if it is the newest both before and after its row is read. So no change
    /// that was under way is taken for damage.
    pub async fn compare(
        mut self,
        shards: &mut ShardSessions,
    ) -> Result<(HashMap<Key, ForwardRow>, HashMap<Key, Verdict>), StoreError> {
        let before = self.lines.clone();
        let rows = shards.forward(self.suspects.iter().cloned()).await?;
        self.catch_up(shards).await?;
        let verdict = |key: Key| {
            let verdict = match (before.get(&key), self.lines.get(&key)) {
                (Some(line), Some(same)) if line == same => match line.agrees(rows.get(&key)) {
                    true => Verdict::Confirmed,
                    false => Verdict::Differs(line.clone()),
                },
                _ => Verdict::Unknown,
            };
            (key, verdict)
        };
        let verdicts = self.suspects.iter().cloned().map(verdict).collect();
        Ok((rows, verdicts))
    }

    /// Reads the lines that were added since.
    async fn catch_up(&mut self, shards: &mut ShardSessions) -> Result<(), StoreError> {
        for shard in 0..self.next.len() {
            loop {
                let page = shards.session(shard).read_log(self.next[shard], PAGE).await?;
                page.changes.iter().for_each(|change| self.read(shard, change));
                if page.changes.len() < PAGE as usize {
                    break;
                }
            }
        }
        Ok(())
    }
}
