//! The database of a shard. It carries a call out on one line: a snapshot, or a commit.

use crate::checker::Bound;
use crate::group::Server;
use crate::instance::{Done, ScanPage, Shown, Task, Transaction, Write, WriteKind};
use crate::world::{CallRef, World, key_index};
use aka_core::coherence as law;
use aka_core::domain::{Change, Claim, ForwardRow, Loaded, LogPage, Micros, Stamp};
use std::time::Duration;

impl World {
    /// Does what a call asks for, on this server.
    pub fn carry_out(&mut self, at: CallRef, server: Server) {
        let line = server.line;
        let (claim, now) = self.claim(at.shard, server);
        let age = law::proof_age(&claim, now);
        let limit = Duration::from_micros(self.schedule.staleness);
        let proven = law::is_primary(&claim) && age.is_some_and(|age| age <= limit);
        let task =
            std::mem::take(&mut self.side(at.instance, at.shard).connections[at.connection].task);
        let task = match task {
            Task::Poll(Some(poll), _) => {
                let from = poll.cursor.map_or(u64::MAX, |cursor| cursor.seq);
                let page = LogPage { claim, now, ..self.log_page(at.shard, line, from) };
                Task::Poll(Some(poll), Some(Box::new(page)))
            }
            Task::Load(batch, _) => {
                let loaded = self.load_from(at.shard, server, &batch.keys);
                Task::Load(batch, Loaded { claim, now, ..loaded })
            }
            Task::Write(writes, _) => {
                let mut done = self.commit(at.shard, line, &writes);
                done.proven = proven || !done.log.is_empty();
                Task::Write(writes, Some(done))
            }
            Task::Scan(scan, pending, key, _) => {
                let line = &self.shards[at.shard].lines[line];
                let seq = server.seq(line);
                let canonical = self.value_id(line.value_at(key, seq));
                let page = ScanPage { at: line.position(seq), claim, canonical };
                Task::Scan(scan, pending, key, Some(page))
            }
            Task::Replay(replay, _) => {
                let page = self.log_page(at.shard, line, replay.next());
                Task::Replay(replay, Some(Box::new(page)))
            }
            Task::Show(key, _) => {
                let line = &self.shards[at.shard].lines[line];
                let committed = line.log.last().map_or(0, |change| change.time);
                let is_alias = line.table[key].is_some();
                let shown = Shown { at: line.clock(), is_alias, proven, committed };
                Task::Show(key, Some(shown))
            }
            Task::Beat => {
                self.beat(at.shard, line);
                Task::Beat
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
            claim: Claim::SOLE,
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

    fn load_from(&self, shard: usize, server: Server, keys: &[aka_core::domain::Key]) -> Loaded {
        let line = &self.shards[shard].lines[server.line];
        let seq = server.seq(line);
        let mut loaded = Loaded { at: line.position(seq), ..Loaded::default() };
        for key in keys {
            let value = line.value_at(key_index(key), seq);
            let Some(canonical) = self.value_id(value) else { continue };
            let (stamp, created, updated) = (Stamp(0), Micros(0), Micros(0));
            let row = ForwardRow { canonical, version: 0, stamp, created, updated };
            loaded.rows.insert(key.clone(), row);
        }
        loaded
    }

    /// Commits a group of writes. Some of them may be refused.
    pub fn commit(&mut self, shard: usize, line: usize, writes: &[Write]) -> Transaction {
        let (now, before) = (self.now, self.shards[shard].lines[line].seq());
        let (mut done, mut twice) = (Vec::new(), false);
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
                twice |= line.log.iter().any(|change| change.write == write.id);
                line.commit(write.key, new, nonce, now, write.id);
            }
            let time = line.log.last().map_or(0, |change| change.time);
            let bound = Bound { at: line.clock(), time };
            let is_alias = line.table[write.key].is_some();
            done.push(Done { written: new.is_some(), bound, is_alias });
        }
        if twice {
            self.violation.get_or_insert("a write was applied twice".to_owned());
        }
        let line = &self.shards[shard].lines[line];
        let log = (before + 1..=line.seq()).map(|seq| self.change(line, seq)).collect();
        let at = line.clock();
        self.note("committed", &[shard as u64, before, at.seq]);
        Transaction { log, done, at, proven: true }
    }

    pub fn late_commit(&mut self, index: usize) {
        let (shard, line, writes) = self.late[index].clone();
        let server = &self.shards[shard].lines[line];
        if server.died > self.now && server.can_commit(self.now) && !self.quiet() {
            self.commit(shard, line, &writes);
        }
    }
}
