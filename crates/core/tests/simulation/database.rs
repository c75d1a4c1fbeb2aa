//! The database of a shard. It carries a call out on one line: a snapshot, or a commit.

use crate::checker::Bound;
use crate::instance::{Done, ScanPage, Shown, Task, Transaction, Write, WriteKind};
use crate::world::{CallRef, World, key_index};
use aka_core::domain::{Change, ForwardRow, Loaded, LogPage, Micros, Stamp};

impl World {
    /// Does what a call asks for, on this line.
    pub fn carry_out(&mut self, at: CallRef, line: usize) {
        let task =
            std::mem::take(&mut self.side(at.instance, at.shard).connections[at.connection].task);
        let task = match task {
            Task::Poll(Some(poll), _) => {
                let from = poll.cursor.map_or(u64::MAX, |cursor| cursor.seq);
                let page = self.log_page(at.shard, line, from);
                Task::Poll(Some(poll), Some(Box::new(page)))
            }
            Task::Load(batch, _) => {
                let loaded = self.load_from(at.shard, line, &batch.keys);
                Task::Load(batch, loaded)
            }
            Task::Write(writes, _) => {
                let done = self.commit(at.shard, line, &writes);
                Task::Write(writes, Some(done))
            }
            Task::Scan(scan, key, _) => {
                let line = &self.shards[at.shard].lines[line];
                let page = ScanPage { at: line.clock(), is_alias: line.table[key].is_some() };
                Task::Scan(scan, key, Some(page))
            }
            Task::Replay(replay, _) => {
                let page = self.log_page(at.shard, line, replay.next());
                Task::Replay(replay, Some(Box::new(page)))
            }
            Task::Show(key, _) => {
                let line = &self.shards[at.shard].lines[line];
                let committed = line.log.last().map_or(0, |change| change.time);
                let is_alias = line.table[key].is_some();
                let shown = Shown { at: line.clock(), is_alias, committed };
                Task::Show(key, Some(shown))
            }
            other => other,
        };
        self.side(at.instance, at.shard).connections[at.connection].task = task;
    }

    fn log_page(&self, shard: usize, line: usize, from: u64) -> LogPage {
        let line = &self.shards[shard].lines[line];
        let (first, limit) = (from.max(line.kept_from), self.schedule.poll_limit);
        let changes = (first..=line.seq()).take(limit);
        LogPage {
            identity: self.identity.clone(),
            at: line.clock(),
            now: Micros(0),
            changes: changes.map(|seq| self.change(line, seq)).collect(),
        }
    }

    fn change(&self, line: &crate::model::Line, seq: u64) -> Change {
        let change = &line.log[seq as usize - 1];
        Change {
            at: line.position(seq),
            alias: self.keys[change.key].clone(),
            old: self.value_id(change.old),
            new: self.value_id(change.new),
            time: Micros(0),
        }
    }

    fn load_from(&self, shard: usize, line: usize, keys: &[aka_core::domain::Key]) -> Loaded {
        let line = &self.shards[shard].lines[line];
        let mut loaded = Loaded { at: line.clock(), ..Loaded::default() };
        for key in keys {
            let Some(canonical) = self.value_id(line.table[key_index(key)]) else { continue };
            let (stamp, created, updated) = (Stamp(0), Micros(0), Micros(0));
            let row = ForwardRow { canonical, version: 0, stamp, created, updated };
            loaded.rows.insert(key.clone(), row);
        }
        loaded
    }

    /// Commits a group of writes. Some of them may be refused.
    pub fn commit(&mut self, shard: usize, line: usize, writes: &[Write]) -> Transaction {
        let (now, before) = (self.now, self.shards[shard].lines[line].seq());
        let mut done = Vec::new();
        for write in writes {
            let nonce = self.rng.next() >> 1;
            let line = &mut self.shards[shard].lines[line];
            let is_alias = line.table[write.key].is_some();
            let new = match write.kind {
                WriteKind::Create(value) if !is_alias => Some(Some(value)),
                WriteKind::Update(value) if is_alias => Some(Some(value)),
                WriteKind::Delete if is_alias => Some(None),
                _ => None,
            };
            if let Some(new) = new {
                line.commit(write.key, new, nonce, now);
            }
            let time = line.log.last().map_or(0, |change| change.time);
            let bound = Bound { at: line.clock(), time };
            let is_alias = line.table[write.key].is_some();
            done.push(Done { written: new.is_some(), bound, is_alias });
        }
        let line = &self.shards[shard].lines[line];
        let log = (before + 1..=line.seq()).map(|seq| self.change(line, seq)).collect();
        let at = line.clock();
        self.note("committed", &[shard as u64, before, at.seq]);
        Transaction { log, done, at }
    }

    pub fn late_commit(&mut self, index: usize) {
        let (shard, line, writes) = self.late[index].clone();
        if self.shards[shard].lines[line].died > self.now && !self.quiet() {
            self.commit(shard, line, &writes);
        }
    }
}
