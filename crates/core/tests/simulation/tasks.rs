//! The tasks of an instance, around the real memory: lanes, feed, writer and admin reads. A step
//! here is the code of a task between two awaits.

use crate::checker::Bound;
use crate::client::Mark;
use crate::group::{Group, Server};
use crate::instance::{ADMIN, Done, FEED, LANE, Shown, Task, Transaction, WRITER, Write};
use crate::model::Micro;
use crate::world::{CallRef, Event, World, key_index};
use aka_core::coherence::{self as law, LookupFailure, PollEnd};
use aka_core::domain::Loaded;

/// The next step of a call on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// The connection reaches the database.
    Connect,
    /// The connection is open.
    Connected,
    /// The database carries the call out: a snapshot, or a commit.
    Serve,
    /// The answer has arrived.
    Answer,
    /// The connection was lost, or the answer did not come in time.
    Failed,
    /// A lane's pause is over.
    Retry,
}

impl World {
    // ---- connections

    fn next(&mut self, at: CallRef, delay: Micro, phase: Phase) {
        self.push(delay, Event::ShardConnection { at, phase });
    }

    /// Begins a call. Connects first, if the connection is not open.
    pub fn begin(&mut self, instance: usize, shard: usize, connection: usize, task: Task) {
        self.calls += 1;
        let number = self.calls;
        let at = CallRef { instance, shard, connection, number };
        let side = self.side(instance, shard);
        let open = side.is_open(connection);
        let state = &mut side.connections[connection];
        (state.task, state.number, state.was_open) = (task, number, open);
        (state.repeated, state.sent) = (false, false);
        match open {
            true => self.send(at),
            false => self.open(at),
        }
    }

    fn open(&mut self, at: CallRef) {
        let side = self.side(at.instance, at.shard);
        let opening = side.memory.opening();
        let state = &mut side.connections[at.connection];
        (state.session, state.broken, state.opened) = (None, false, opening);
        let delay = self.delay();
        self.next(at, delay, Phase::Connect);
    }

    /// Sends the query on an open connection.
    fn send(&mut self, at: CallRef) {
        let clock = self.clock(at.instance);
        let (there, limit) = (self.delay(), self.schedule.query_timeout);
        let until = self.now + limit;
        let side = self.side(at.instance, at.shard);
        let state = &mut side.connections[at.connection];
        state.until = until;
        if let Task::Poll(poll @ None, _) = &mut state.task {
            *poll = Some(side.memory.begin_poll(clock));
        }
        if there <= limit {
            return self.next(at, there, Phase::Serve);
        }
        if let (Task::Write(writes, _), Some(server)) = (&state.task, state.session) {
            let late = (at.shard, server.line, writes.clone());
            state.sent = true;
            self.late.push(late);
            let index = self.late.len() - 1;
            self.push(there, Event::LateCommit { index });
        }
        self.next(at, limit, Phase::Failed);
    }

    pub fn advance(&mut self, at: CallRef, phase: Phase) {
        if self.side(at.instance, at.shard).connections[at.connection].number != at.number {
            // The process was restarted.
            return;
        }
        match phase {
            Phase::Connect => {
                let (away, delay) = (self.is_away(at.shard), self.delay());
                let server =
                    if away { None } else { self.reach(at.instance, at.shard, self.is_lane(at)) };
                self.connected(at, server);
                self.next(
                    at,
                    delay,
                    if server.is_none() { Phase::Failed } else { Phase::Connected },
                );
            }
            Phase::Connected if at.connection >= LANE && self.is_connecting(at) => {
                self.lane_serves(at);
            }
            Phase::Connected => self.send(at),
            Phase::Serve => self.serve(at),
            Phase::Answer => self.answered(at),
            Phase::Failed => self.failed(at),
            Phase::Retry if at.connection == WRITER => self.write_next(at.instance, at.shard),
            Phase::Retry => self.connect_lane(at.instance, at.shard, at.connection),
        }
    }

    fn is_connecting(&mut self, at: CallRef) -> bool {
        matches!(self.side(at.instance, at.shard).connections[at.connection].task, Task::Connect)
    }

    /// The call reaches the database.
    fn serve(&mut self, at: CallRef) {
        let (now, away) = (self.now, self.is_away(at.shard));
        let state = &self.instances[at.instance].sides[at.shard].connections[at.connection];
        let (until, was_open) = (state.until, state.was_open);
        let session = state.session.filter(|_| !state.broken);
        let alive = session.filter(|it| self.shards[at.shard].lines[it.line].died > now);
        let Some(server) = alive.filter(|_| !away) else {
            // The database is silent, or the connection is broken. A broken one is opened again,
            // once.
            if away && self.rng.chance(500) {
                return self.next(at, until - now, Phase::Failed);
            }
            if !was_open {
                return self.next(at, 1, Phase::Failed);
            }
            self.side(at.instance, at.shard).connections[at.connection].was_open = false;
            return self.open(at);
        };
        if self.cannot_commit(at, server) {
            return;
        }
        self.carry_out(at, server);
        let back = self.delay() + self.bad_moment(at);
        match now + back > until {
            true => self.next(at, until - now, Phase::Failed),
            false => self.next(at, back, Phase::Answer),
        }
    }

    fn answered(&mut self, at: CallRef) {
        let CallRef { instance, shard, connection, .. } = at;
        let side = self.side(instance, shard);
        let open = side.is_open(connection);
        let state = &mut side.connections[connection];
        let Some(server) = state.session else { return };
        if let Task::Show(_, Some(_)) = state.task
            && !state.repeated
            && !open
        {
            // A new epoch began. The answer may come from an old primary.
            state.repeated = true;
            return self.open(at);
        }
        match std::mem::take(&mut state.task) {
            Task::Poll(Some(poll), Some(page)) => {
                self.clock(instance);
                if self.heed_poll(instance, shard, server, &page) {
                    self.beat_soon(instance, shard);
                }
                let end = self.side(instance, shard).memory.end_poll(&poll, &page);
                self.note("polled", &[instance as u64, shard as u64, page.at.seq]);
                self.fill_saved(instance, shard);
                self.note_contradictions(instance, shard);
                match end {
                    PollEnd::More(_) => self.begin(instance, shard, FEED, Task::Poll(None, None)),
                    _ => self.tick_later(instance, shard, self.schedule.feed_interval),
                }
            }
            Task::Load(batch, loaded) => {
                let clock = self.clock(instance);
                self.heed_load(instance, shard, server, &loaded);
                let again = self.side(instance, shard).memory.land(batch, &loaded, clock);
                self.note("landed", &[instance as u64, shard as u64, loaded.at.seq]);
                self.note_contradictions(instance, shard);
                let again = again.iter().map(key_index).collect();
                self.lane_done(at);
                self.enqueue(instance, shard, again);
                self.collect(instance);
            }
            Task::Write(writes, Some(done)) => self.acknowledge(at, &writes, done),
            Task::Show(key, Some(shown)) => self.show(at, key, shown),
            Task::Scan(scan, pending, key, Some(page)) => {
                self.scanned(at, scan, pending, key, &page);
            }
            Task::Replay(replay, Some(page)) => self.replayed(at, replay, &page),
            _ => {}
        }
    }

    fn failed(&mut self, at: CallRef) {
        let CallRef { instance, shard, connection, .. } = at;
        let hold = self.schedule.group != Group::None;
        let (now, again) = (self.now, self.schedule.reconnect_pause);
        let state = &mut self.side(instance, shard).connections[connection];
        state.session = None;
        let not_done = !state.sent;
        let task = std::mem::take(&mut state.task);
        self.note("failed", &[instance as u64, shard as u64, connection as u64]);
        match task {
            Task::Connect => self.lane_is_down(at),
            Task::Poll(..) => self.tick_later(instance, shard, self.schedule.reconnect_pause),
            Task::Load(batch, _) => {
                self.side(instance, shard).memory.fail(&batch.keys, LookupFailure::Unavailable);
                self.lane_done(at);
                self.collect(instance);
            }
            Task::Write(writes, _) if hold && law::may_send_again(not_done) => {
                let held = writes.into_iter().filter(|write| write.until > now).rev();
                let side = self.side(instance, shard);
                held.for_each(|write| side.writes.push_front(write));
                self.next(at, again, Phase::Retry);
            }
            // The outcome is unknown, so no client is answered.
            Task::Write(..) => self.write_next(instance, shard),
            Task::Beat => {}
            Task::Show(..) => self.show_next(instance, shard),
            Task::Scan(..) | Task::Replay(..) => self.filter_later(instance, shard),
            Task::Idle => {}
        }
    }

    // ---- the feed

    fn tick_later(&mut self, instance: usize, shard: usize, delay: Micro) {
        let life = self.instances[instance].life;
        self.push(delay, Event::Tick { instance, life, shard });
    }

    pub fn tick(&mut self, instance: usize, life: u64, shard: usize) {
        if self.instances[instance].life != life {
            return;
        }
        let paused = self.side(instance, shard).feed_paused_until;
        match paused > self.now {
            true => self.tick_later(instance, shard, paused - self.now),
            false => self.begin(instance, shard, FEED, Task::Poll(None, None)),
        }
    }

    // ---- lanes

    pub fn connect_lane(&mut self, instance: usize, shard: usize, connection: usize) {
        self.begin(instance, shard, connection, Task::Connect);
    }

    fn lane_serves(&mut self, at: CallRef) {
        let side = self.side(at.instance, at.shard);
        let lane = &mut side.connections[at.connection];
        (lane.task, lane.serves) = (Task::Idle, true);
        side.down = false;
        self.pump(at.instance, at.shard);
    }

    fn lane_is_down(&mut self, at: CallRef) {
        let side = self.side(at.instance, at.shard);
        side.connections[at.connection].task = Task::Connect;
        if !side.connections.iter().any(|connection| connection.serves) {
            side.down = true;
            let waiting: Vec<usize> = side.queue.drain(..).collect();
            self.fail(at.instance, at.shard, &waiting, LookupFailure::Unavailable);
            self.collect(at.instance);
        }
        self.next(at, self.schedule.reconnect_pause, Phase::Retry);
    }

    fn fail(&mut self, instance: usize, shard: usize, keys: &[usize], failure: LookupFailure) {
        let keys: Vec<_> = keys.iter().map(|&key| self.keys[key].clone()).collect();
        self.side(instance, shard).memory.fail(&keys, failure);
    }

    /// After a query a lane goes on if its connection may still be used. Otherwise it connects
    /// again.
    fn lane_done(&mut self, at: CallRef) {
        let side = self.side(at.instance, at.shard);
        side.connections[at.connection].task = Task::Idle;
        if side.is_open(at.connection) {
            return self.pump(at.instance, at.shard);
        }
        side.connections[at.connection].serves = false;
        self.connect_lane(at.instance, at.shard, at.connection);
    }

    pub fn enqueue(&mut self, instance: usize, shard: usize, mut keys: Vec<usize>) {
        if keys.is_empty() {
            return;
        }
        if self.side(instance, shard).down {
            self.fail(instance, shard, &keys, LookupFailure::Unavailable);
        } else {
            let capacity = self.schedule.lane_queue;
            let side = self.side(instance, shard);
            let room = capacity.saturating_sub(side.queue.len()).min(keys.len());
            let refused = keys.split_off(room);
            side.queue.extend(keys);
            self.fail(instance, shard, &refused, LookupFailure::Overloaded);
        }
        self.pump(instance, shard);
    }

    /// Free lanes take what is queued.
    fn pump(&mut self, instance: usize, shard: usize) {
        let (clock, most) = (self.clock(instance), self.schedule.lane_batch);
        for connection in LANE..LANE + self.schedule.lanes {
            loop {
                let side = &mut self.instances[instance].sides[shard];
                let lane = &side.connections[connection];
                if !lane.serves || !matches!(lane.task, Task::Idle) || side.queue.is_empty() {
                    break;
                }
                let count = side.queue.len().min(most);
                let keys = side.queue.drain(..count).map(|key| self.keys[key].clone()).collect();
                let batch = side.memory.send(keys, clock);
                if batch.keys.is_empty() {
                    continue;
                }
                self.begin(instance, shard, connection, Task::Load(batch, Loaded::default()));
            }
        }
    }

    // ---- the writer

    pub fn write_next(&mut self, instance: usize, shard: usize) {
        let most = self.schedule.write_batch;
        let side = self.side(instance, shard);
        if side.writes.is_empty() || !matches!(side.connections[WRITER].task, Task::Idle) {
            return;
        }
        let count = side.writes.len().min(most);
        let group = side.writes.drain(..count).collect();
        self.begin(instance, shard, WRITER, Task::Write(group, None));
    }

    /// A write or a beat reaches a server that cannot commit. True if this is so.
    fn cannot_commit(&mut self, at: CallRef, server: Server) -> bool {
        let (now, line) = (self.now, &self.shards[at.shard].lines[server.line]);
        let (takes_writes, can_commit) = (line.takes_writes(now), line.can_commit(now));
        let state = &mut self.instances[at.instance].sides[at.shard].connections[at.connection];
        let is_write = matches!(state.task, Task::Write(..));
        if can_commit || !is_write && !matches!(state.task, Task::Beat) {
            state.sent |= is_write;
            return false;
        }
        if takes_writes {
            // It is cut off. The commit never ends.
            (state.sent, state.broken) = (true, true);
            let until = state.until;
            self.next(at, until - now, Phase::Failed);
        } else {
            // It says that it is read-only.
            self.leave(at.instance, at.shard);
            self.next(at, 1, Phase::Failed);
        }
        true
    }

    fn is_lane(&self, at: CallRef) -> bool {
        (LANE..LANE + self.schedule.lanes).contains(&at.connection)
    }

    /// Tells memory of the writes, and then answers the clients. A client may read at once.
    fn acknowledge(&mut self, at: CallRef, writes: &[Write], done: Transaction) {
        let CallRef { instance, shard, .. } = at;
        if !done.proven {
            // Nothing was written, and the server may be cut off: nobody is told what it says.
            self.leave(instance, shard);
            return self.write_next(instance, shard);
        }
        let memory = self.side(instance, shard).memory.clone();
        self.clock(instance);
        memory.committed(&done.log, || {
            for (write, Done { written, bound, is_alias }) in
                writes.iter().zip(done.done.iter().copied())
            {
                if !written {
                    // The row is shown (rule 5).
                    memory.note_local_write(&self.keys[write.key], done.at, is_alias);
                }
                let lines = &self.shards[shard].lines;
                self.checker.acknowledged(instance, write.key, bound, lines);
                self.got_token(Mark { shard, bound: Bound { at: done.at, time: bound.time } });
                self.note("acknowledged", &[instance as u64, write.key as u64, bound.at.seq]);
                self.note_contradictions(instance, shard);
                if self.rng.chance(500) {
                    self.read(instance, &[write.key], &[]);
                }
            }
        });
        self.note_contradictions(instance, shard);
        self.write_next(instance, shard);
        self.collect(instance);
    }

    // ---- admin reads

    pub fn show_next(&mut self, instance: usize, shard: usize) {
        let side = self.side(instance, shard);
        if !matches!(side.connections[ADMIN].task, Task::Idle) {
            return;
        }
        let Some(key) = side.shows.pop_front() else { return };
        self.begin(instance, shard, ADMIN, Task::Show(key, None));
    }

    fn show(&mut self, at: CallRef, key: usize, shown: Shown) {
        let CallRef { instance, shard, .. } = at;
        if !shown.proven {
            self.leave(instance, shard);
            return self.show_next(instance, shard);
        }
        let memory = self.side(instance, shard).memory.clone();
        memory.note_local_write(&self.keys[key], shown.at, shown.is_alias);
        self.note_contradictions(instance, shard);
        let bound = Bound { at: shown.at, time: shown.committed };
        self.checker.acknowledged(instance, key, bound, &self.shards[shard].lines);
        self.note("shown", &[instance as u64, key as u64, shown.at.seq]);
        if self.rng.chance(500) {
            self.read(instance, &[key], &[]);
        }
        self.show_next(instance, shard);
        self.collect(instance);
    }
}
