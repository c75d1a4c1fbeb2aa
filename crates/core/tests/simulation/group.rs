//! Shards that are more than one server: which server a connection reaches, what a server says of
//! itself, and failovers in which at most one server takes writes.
//!
//! A [`Line`] stands for the server whose history it is. Replicas follow the newest line and are
//! behind it by some changes.

use crate::instance::{LANE, Side, Task};
use crate::model::{Line, Micro};
use crate::rng::Rng;
use crate::world::{CallRef, Event, World};
use aka_core::coherence as law;
use aka_core::domain::{Beat, Claim, Loaded, LogPage, Micros};
use std::time::Duration;

/// How the servers of the shards can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// One address that nobody checks. An old primary may go on taking writes.
    None,
    /// One address. It leads to a demoted primary until the next one takes over.
    OneAddress,
    /// An address for each server. Primaries prove themselves by beats.
    Servers,
}

/// The server that a connection leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Server {
    pub line: usize,
    /// `None`: the line's own primary. Otherwise a replica of it, which lacks this many changes.
    pub behind: Option<u64>,
    /// It was taken for the primary when the connection opened.
    pub leads: bool,
}

impl World {
    fn has_beats(&self) -> bool {
        self.schedule.group == Group::Servers
    }

    /// The age from which on a beat is renewed.
    pub fn beat_interval(&self) -> Duration {
        Duration::from_micros(self.schedule.staleness / 4)
    }

    /// What a server says of itself, and the time by its clock.
    pub fn claim(&self, shard: usize, server: Server) -> (Claim, Micros) {
        let lines = &self.shards[shard].lines;
        let line = &lines[server.line];
        // A server that stands in may think that it is the primary. It has not proved it to us.
        let takes_writes = server.leads && line.takes_writes(self.now);
        if !self.has_beats() {
            return (Claim { takes_writes, beat: None }, Micros(0));
        }
        let (at, maker) = line.beat;
        let seq = server.seq(line);
        // A replica has the beats from before the first change that it lacks. A server that stands
        // in has the clock of the server that made the beat, so that its age is exact. A primary's
        // clock is its own: only its own beats may count.
        let (at, clock) = match (server.behind, line.log.get(seq as usize)) {
            (None, _) if server.leads => (at, line.clock_ahead),
            (None, _) | (_, None) => (at, lines[maker].clock_ahead),
            (_, Some(next)) => {
                let ahead = lines[maker].clock_ahead;
                (at.min(next.time + ahead), ahead)
            }
        };
        let by_this_server = server.behind.is_none() && maker == server.line;
        let beat = Some(Beat { at: Micros(at as i64), by_this_server });
        (Claim { takes_writes, beat }, Micros((self.now + clock) as i64))
    }

    /// The server commits a beat.
    pub fn beat(&mut self, shard: usize, line: usize) {
        let now = self.now;
        let server = &mut self.shards[shard].lines[line];
        server.beat = (now + server.clock_ahead, line);
        self.note("beat", &[shard as u64, line as u64]);
    }

    /// The server that a new connection reaches. `None`: none answers that it can use. Only a lane
    /// uses one that is not the primary.
    ///
    /// All connections of an instance use the same primary, as long as that says that it is one.
    pub fn reach(&mut self, instance: usize, shard: usize, for_lane: bool) -> Option<Server> {
        let (newest, now) = (self.shards[shard].primary(), self.now);
        if self.schedule.group == Group::None {
            return Some(Server { line: newest, behind: None, leads: true });
        }
        let is_there = |line: &Line| line.born <= now && now < line.died;
        let lines = &self.shards[shard].lines;
        let mut found: Vec<usize> = (0..lines.len()).filter(|&it| is_there(&lines[it])).collect();
        if self.schedule.group == Group::OneAddress {
            found = found.last().copied().into_iter().collect();
        }
        if !found.is_empty() {
            let first = self.rng.index(found.len());
            found.rotate_left(first);
        }
        let leader = self.side(instance, shard).leader;
        if let Some(present) = found.iter().position(|&line| Some(line) == leader) {
            found.swap(0, present);
        }
        for &line in &found {
            let server = Server { line, behind: None, leads: true };
            let (claim, time) = self.claim(shard, server);
            if !law::may_lead(&claim) {
                continue;
            }
            let age = law::proof_age(&claim, time);
            let limit = match leader == Some(line) {
                true => Duration::from_micros(self.schedule.staleness),
                // A new one must prove itself now: others may know of a later primary.
                false => Duration::ZERO,
            };
            if self.has_beats() && law::wants_beat(age, limit) {
                if !self.shards[shard].lines[line].can_commit(now) {
                    continue;
                }
                self.beat(shard, line);
            }
            return Some(server);
        }
        for_lane.then(|| self.stand_in(shard, &found)).flatten()
    }

    /// A server that is not the primary, but answers.
    fn stand_in(&mut self, shard: usize, found: &[usize]) -> Option<Server> {
        if self.schedule.group == Group::OneAddress || self.rng.chance(500) {
            let line = *found.first()?;
            return Some(Server { line, behind: None, leads: false });
        }
        let line = self.shards[shard].leading(self.now);
        Some(Server { line, behind: Some(self.rng.pick(&[0, 1, 2, 5, 40])), leads: false })
    }

    /// Reads what the answer says of its server. If it is not the primary any more, all connections
    /// are left.
    pub fn heed_load(&mut self, instance: usize, shard: usize, server: Server, loaded: &Loaded) {
        if server.leads && !law::is_primary(&loaded.claim) {
            self.leave(instance, shard);
        }
    }

    /// The same for a poll. Returns true if a new beat is wanted.
    pub fn heed_poll(
        &mut self,
        instance: usize,
        shard: usize,
        server: Server,
        page: &LogPage,
    ) -> bool {
        let age = law::proof_age(&page.claim, page.now);
        let limit = Duration::from_micros(self.schedule.staleness);
        let lost = self.has_beats() && law::wants_beat(age, limit);
        if server.leads && (lost || !law::is_primary(&page.claim)) {
            self.leave(instance, shard);
        }
        self.has_beats() && law::wants_beat(age, self.beat_interval())
    }

    pub fn leave(&mut self, instance: usize, shard: usize) {
        let side: &mut Side = self.side(instance, shard);
        (side.leader, side.stands_in) = (None, false);
        side.memory.leave_connections();
        self.note("leaves its connections", &[instance as u64, shard as u64]);
    }

    /// A connection has reached a server, or none.
    pub fn connected(&mut self, at: CallRef, server: Option<Server>) {
        let leader = server.filter(|server| server.leads).map(|server| server.line);
        let leads = leader.is_some();
        let side = self.side(at.instance, at.shard);
        if leads && side.leader != leader && self.schedule.group != Group::None {
            // There is a new primary, so nobody stays with another server.
            self.leave(at.instance, at.shard);
        }
        let side = self.side(at.instance, at.shard);
        if leads {
            side.leader = leader;
        }
        side.stands_in |= server.is_some() && !leads;
        let opening = side.memory.opening();
        let state = &mut side.connections[at.connection];
        state.session = server;
        if leads {
            state.opened = opening;
        }
    }

    pub fn beat_soon(&mut self, instance: usize, shard: usize) {
        let beater = LANE + self.schedule.lanes;
        if matches!(self.side(instance, shard).connections[beater].task, Task::Idle) {
            self.begin(instance, shard, beater, Task::Beat);
        }
    }

    /// A failover in which the old server takes no writes any more before the new one takes some.
    pub fn fail_over_in_group(&mut self, shard: usize, time: Micro) {
        let (now, old) = (self.now, self.shards[shard].primary());
        if self.shards[shard].lines[old].born > now {
            return;
        }
        let gap = if self.rng.chance(250) { 0 } else { self.rng.below(time) };
        let lives = match self.rng.chance(250) {
            true => 0,
            false => self.rng.between(1, 2 * self.schedule.fault),
        };
        let cut_off = self.has_beats() && self.rng.chance(400);
        // A server that is cut off cannot commit, so its group has all that it has committed. A group
        // that can cut off its members loses nothing in other failovers either.
        let lines = &self.shards[shard].lines;
        let quorum = cut_off || lines.iter().any(|it| it.cut_off_at < now && now < it.died);
        let lost = if quorum { 0 } else { self.rng.pick(&[0, 0, 1, 2, 3]) };
        let ahead = self.rng.below(4 * self.schedule.staleness);
        let model = &mut self.shards[shard];
        match cut_off {
            true => model.lines[old].cut_off_at = now,
            false => model.lines[old].demoted_at = now,
        }
        model.fail_over(lost, now, now + lives);
        for line in &mut model.lines[..=old] {
            line.deposed_at = line.deposed_at.min(now + gap);
        }
        let new = &mut model.lines[old + 1];
        (new.born, new.clock_ahead) = (now + gap, ahead);
        // Some connections of the old server are cut.
        for instance in 0..self.schedule.instances {
            for connection in 0..LANE + self.schedule.lanes {
                let cut = self.rng.chance(200);
                self.side(instance, shard).connections[connection].broken |= cut;
            }
        }
        if cut_off && self.rng.chance(700) {
            // An instance does not notice, because its feed stands still.
            let instance = self.rng.index(self.schedule.instances);
            let wait = self.rng.below(self.schedule.staleness + 2 * self.schedule.fault);
            self.side(instance, shard).feed_paused_until = now + wait;
        }
        if gap == 0 && self.rng.chance(600) {
            // The new history catches up with the old one before any poll.
            self.burst(shard, lost + 1);
        }
        if self.rng.chance(300) {
            let soon = gap + self.rng.below(self.schedule.staleness);
            self.push(soon, Event::FailOver { shard });
        }
        self.note("failover in a group", &[shard as u64, lost, lives, gap, u64::from(cut_off)]);
    }
}

impl Server {
    /// The last seq that the server has.
    pub fn seq(&self, line: &Line) -> u64 {
        line.seq().saturating_sub(self.behind.unwrap_or(0))
    }
}

/// Which kind of shard a seed has. The generator is a copy, so that seeds without a group stay as
/// they were before there were groups.
pub fn kind_of(rng: &Rng) -> Group {
    let mut rng = Rng::new(rng.clone().next() ^ 0x0067_726f_7570);
    rng.pick(&[Group::None, Group::None, Group::OneAddress, Group::Servers, Group::Servers])
}
