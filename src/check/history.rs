//! Compares the aliases with the change log.
//!
//! Somebody may have changed rows by hand. A repair must not make such damage look right, so rows
//! are compared with the newest lines of the change log about them.

use super::shards::ShardSessions;
use crate::store::StoreError;
use aka_core::domain::{Change, ForwardRow, Id, Key};
use std::collections::{HashMap, HashSet};

/// Lines of the log that one query reads.
const PAGE: u32 = 5_000;

/// How many aliases may be doubted at once. An alias that was created and deleted is doubted from
/// one of its lines to the other.
const MOST_DOUBTED: usize = 1_000_000;

/// The newest line of the change log about each alias that is looked at.
#[derive(Default)]
pub(super) struct History {
    suspects: HashSet<Key>,
    lines: HashMap<Key, LoggedState>,
    /// Aliases whose rows look otherwise than their newest line that was read.
    doubted: HashMap<Key, LoggedState>,
    not_compared: u64,
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
    fn after(line: &Change) -> Self {
        Self { version: line.at.seq, canonical: line.new.clone() }
    }

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
        Self { suspects, next: vec![0; shards], ..Self::default() }
    }

    /// Takes a line of a shard. Lines come in order.
    pub fn read(&mut self, shard: usize, change: &Change) {
        self.next[shard] = change.at.seq + 1;
        if self.suspects.contains(&change.alias) {
            self.lines.insert(change.alias.clone(), LoggedState::after(change));
        }
    }

    /// Compares the rows of all aliases in consecutive lines with the newest of these lines. Somebody
    /// may have changed both halves of an alias, so that only the log shows it.
    ///
    /// Rows are read after their lines. One that is newer than its line has a newer line too.
    pub async fn doubt(
        &mut self,
        shards: &mut ShardSessions,
        lines: &[Change],
    ) -> Result<(), StoreError> {
        let newest: HashMap<&Key, &Change> = lines.iter().map(|line| (&line.alias, line)).collect();
        let rows = shards.forward(newest.keys().copied().cloned()).await?;
        for (alias, line) in newest {
            self.doubted.remove(alias);
            let (line, row) = (LoggedState::after(line), rows.get(alias));
            if line.agrees(row) || row.is_some_and(|row| row.version > line.version) {
                continue;
            }
            match self.doubted.len() < MOST_DOUBTED {
                true => drop(self.doubted.insert(alias.clone(), line)),
                false => self.not_compared += 1,
            }
        }
        Ok(())
    }

    /// How many aliases were not compared with the log, because too many were doubted at once.
    pub fn not_compared(&self) -> u64 {
        self.not_compared
    }

    /// Compares the suspects with their rows.
    ///
    /// A line counts only if it is the newest both before and after its row is read. So no change
    /// that was under way is taken for damage.
    pub async fn compare(
        mut self,
        shards: &mut ShardSessions,
    ) -> Result<(HashMap<Key, ForwardRow>, HashMap<Key, Verdict>), StoreError> {
        for (alias, line) in std::mem::take(&mut self.doubted) {
            self.lines.insert(alias.clone(), line);
            self.suspects.insert(alias);
        }
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
