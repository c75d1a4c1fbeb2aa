//! The clients: they read and write through any instance, and check each answer.

use crate::checker::{Answer, Bound};
use crate::group::Group;
use crate::instance::{Miss, Request, Write, WriteKind};
use crate::world::{CLUSTER, Event, World};
use aka_core::coherence::{Found, Gather, Lookup, LookupFailure, Need, Outcome};
use aka_core::domain::{ShardId, Token};

/// A token of one shard, with the time that the checker needs.
#[derive(Clone, Copy)]
pub struct Mark {
    pub shard: usize,
    pub bound: Bound,
}

/// How many tokens are kept for later reads.
const TOKENS: usize = 6;

/// How many writes may wait for the writer of a shard. More are refused.
const WRITES: usize = 4;

impl World {
    pub fn client(&mut self) {
        if self.quiet() {
            return;
        }
        self.operations += 1;
        let gap = match self.rng.chance(300) {
            true => self.rng.below(20),
            false => self.rng.between(1, self.schedule.gap),
        };
        self.push(gap, Event::Client);
        if self.rng.chance(self.schedule.faults) {
            return self.fault();
        }
        let instance = self.rng.index(self.schedule.instances);
        if self.instances[instance].suspended_until > self.now {
            return;
        }
        let key = self.rng.index(self.schedule.keys);
        match self.rng.below(1_000) {
            dice if dice < self.schedule.writes => self.write(instance, key),
            dice if dice < self.schedule.writes + 40 => {
                let shard = self.shard_of(key);
                self.side(instance, shard).shows.push_back(key);
                self.show_next(instance, shard);
            }
            dice if dice < self.schedule.writes + 80 => {
                self.instances[instance].cache.evict(&self.keys[key]);
            }
            _ => self.read_something(instance, key),
        }
    }

    pub fn write(&mut self, instance: usize, key: usize) {
        if self.instances[instance].suspended_until > self.now {
            return;
        }
        let shard = self.shard_of(key);
        // Mostly a write that the newest table allows. A refused write shows a row.
        let is_alias = self.shards[shard].newest().table[key].is_some() != self.rng.chance(100);
        let kind = match is_alias {
            false => WriteKind::Create(self.new_value()),
            true if self.rng.chance(400) => WriteKind::Delete,
            true => WriteKind::Update(self.new_value()),
        };
        if self.side(instance, shard).writes.len() < WRITES {
            self.calls += 1;
            let write = Write { key, kind, id: self.calls, until: self.now + self.schedule.hold };
            self.side(instance, shard).writes.push_back(write);
        }
        self.write_next(instance, shard);
    }

    pub fn got_token(&mut self, mark: Mark) {
        if self.tokens.len() == TOKENS {
            self.tokens.remove(0);
        }
        self.tokens.push(mark);
    }

    fn read_something(&mut self, instance: usize, key: usize) {
        let mut keys = vec![key];
        if self.rng.chance(200) {
            // A batch. It may hold a key twice.
            let more = self.rng.between(1, 3);
            keys.extend((0..more).map(|_| self.rng.index(self.schedule.keys)));
        }
        let mut marks = Vec::new();
        if self.rng.chance(300) && !self.tokens.is_empty() {
            let count = if self.rng.chance(300) { 2 } else { 1 };
            for _ in 0..count {
                // Mostly the newest one.
                let index = match self.rng.chance(500) {
                    true => self.tokens.len() - 1,
                    false => self.rng.index(self.tokens.len()),
                };
                marks.push(self.tokens[index]);
            }
        }
        self.read(instance, &keys, &marks);
    }

    /// A request arrives. Answers from memory are checked at once, and the misses wait for loads.
    pub fn read(&mut self, instance: usize, keys: &[usize], marks: &[Mark]) {
        let arrived_clock = self.clock(instance);
        let token = join_tokens(marks);
        let mut misses = Vec::new();
        for &key in keys {
            let shard = self.shard_of(key);
            let need = Need::new(arrived_clock, token.as_ref(), ShardId(shard as u16));
            let (cache, id) = (&self.instances[instance].cache, self.keys[key].id().as_bytes());
            let memory = &self.instances[instance].sides[shard].memory;
            match memory.get(self.keys[key].id_hash(), || cache.footprint(1, id), &need) {
                Some(found) => {
                    let value = self.value_of(found.canonical.as_deref());
                    let token = mark_of(token.as_ref(), marks, shard);
                    let (arrived, now) = (self.now, self.now);
                    let (degraded, waited, promised) = (false, 0, None);
                    let answer = Answer {
                        instance,
                        shard,
                        key,
                        value,
                        arrived,
                        now,
                        degraded,
                        waited,
                        token,
                        promised,
                    };
                    self.check(&answer);
                }
                None => misses.push(Miss {
                    key,
                    promised: self.checker.promised(instance, key).clone(),
                    answer: None,
                }),
            }
        }
        if misses.is_empty() {
            return;
        }
        self.wait(instance, misses, marks, token);
    }

    fn wait(&mut self, instance: usize, misses: Vec<Miss>, marks: &[Mark], token: Option<Token>) {
        let (now, life) = (self.now, self.instances[instance].life);
        let limit = self.rng.between(1, self.schedule.query_timeout * 3);
        let limit = if self.quiet() { self.schedule.quiet_time() } else { limit };
        let until = now + limit;
        let missing = misses.len();
        let request = Request {
            instance,
            life,
            arrived: now,
            arrived_clock: self.clock(instance),
            token,
            marks: marks.to_vec(),
            gather: Gather::new(missing, self.instances[instance].clock(until)),
            misses,
            missing,
        };
        let index = match self.free.pop() {
            Some(index) => index,
            None => {
                self.requests.push(None);
                self.requests.len() - 1
            }
        };
        self.note("waits", &[instance as u64, index as u64, missing as u64]);
        self.requests[index] = Some(request);
        self.instances[instance].waiting.push(index);
        // Indexes are used again, so each request has a number too.
        let life = self.requests_life(index);
        self.push(limit, Event::Deadline { request: index, life });
        match self.rng.chance(200) {
            true => {
                let delay = self.delay();
                self.push(delay, Event::Join { request: index, life });
            }
            false => self.join(index, life),
        }
    }

    fn requests_life(&mut self, index: usize) -> u64 {
        self.calls += 1;
        if let Some(request) = &mut self.requests[index] {
            request.life = self.calls;
        }
        self.calls
    }

    /// The misses join their flights. The keys of new flights go to the lanes.
    pub fn join(&mut self, index: usize, life: u64) {
        let Some(request) = self.requests[index].as_ref().filter(|it| it.life == life) else {
            return;
        };
        let instance = request.instance;
        let mut started = vec![Vec::new(); self.schedule.shards];
        for (miss, at) in request.misses.iter().zip(0..) {
            let shard = self.shard_of(miss.key);
            let memory = &self.instances[instance].sides[shard].memory;
            let (key, need) = (&self.keys[miss.key], request.need(shard));
            match memory.join(key, &need, &request.gather, at) {
                Lookup::Found(found) => request.gather.deliver(at, Ok(found)),
                Lookup::Joined => {}
                Lookup::Started => started[shard].push(miss.key),
            }
        }
        for (shard, keys) in started.into_iter().enumerate() {
            self.enqueue(instance, shard, keys);
        }
        self.collect(instance);
    }

    /// Ends the requests of an instance that have all their answers.
    pub fn collect(&mut self, instance: usize) {
        let mut next = 0;
        while let Some(&index) = self.instances[instance].waiting.get(next) {
            match self.take_answers(index) {
                true => self.settle(index),
                false => next += 1,
            }
        }
    }

    /// Takes the answers that have come. Returns true if none is missing.
    fn take_answers(&mut self, index: usize) -> bool {
        let Some(request) = &mut self.requests[index] else { return false };
        for (at, answer) in request.gather.take() {
            request.missing = request.missing.wrapping_sub(1);
            if request.misses[at as usize].answer.replace(answer).is_some() {
                self.violation.get_or_insert("a reader was answered twice".to_owned());
            }
        }
        request.missing == 0
    }

    pub fn deadline(&mut self, index: usize, life: u64) {
        if self.requests[index].as_ref().is_some_and(|it| it.life == life) {
            self.take_answers(index);
            self.settle(index);
        }
    }

    /// Ends a request. Each miss gets the answer that has come, or a degraded one, or none.
    fn settle(&mut self, index: usize) {
        let Some(request) = self.requests[index].take() else { return };
        self.free.push(index);
        request.gather.leave();
        let instance = request.instance;
        self.instances[instance].waiting.retain(|&waiting| waiting != index);
        let clock = self.clock(instance);
        for miss in &request.misses {
            let shard = self.shard_of(miss.key);
            let memory = &self.instances[instance].sides[shard].memory;
            let answer = match miss.answer.clone().unwrap_or(Err(LookupFailure::DeadlineExceeded)) {
                Ok(found) => Some(found),
                Err(LookupFailure::TokenAhead) => {
                    self.check_token_ahead(&request, shard);
                    continue;
                }
                Err(_) => memory.get_degraded(&self.keys[miss.key], &request.need(shard), clock),
            };
            let Some(Found { canonical, outcome }) = answer else {
                self.note("no answer", &[instance as u64, miss.key as u64]);
                if self.quiet() && request.arrived > self.settled_at() {
                    let text = format!("instance {instance} did not answer for {}", miss.key);
                    self.violation.get_or_insert(text);
                }
                continue;
            };
            let answer = Answer {
                instance,
                shard,
                key: miss.key,
                value: self.value_of(canonical.as_deref()),
                arrived: request.arrived,
                now: self.now,
                degraded: outcome == Outcome::Degraded,
                waited: if self.schedule.group == Group::None {
                    0
                } else {
                    self.now - request.arrived
                },
                token: mark_of(request.token.as_ref(), &request.marks, shard),
                promised: Some(&miss.promised),
            };
            self.check(&answer);
        }
    }
}

impl World {
    /// A reader was told that the primary is behind its token. A primary must have been, since the
    /// reader came.
    fn check_token_ahead(&mut self, request: &Request, shard: usize) {
        let token = mark_of(request.token.as_ref(), &request.marks, shard);
        let is_true = token.is_some_and(|token| {
            self.shards[shard].lines.iter().any(|line| {
                line.died >= request.arrived && line.seq_at(request.arrived) < token.at.seq
            })
        });
        if !is_true {
            self.violation.get_or_insert(format!("{token:?} is not ahead of shard {shard}"));
        }
    }
}

fn join_tokens(marks: &[Mark]) -> Option<Token> {
    let token = |mark: &Mark| Token::new(CLUSTER, ShardId(mark.shard as u16), mark.bound.at);
    let (first, rest) = marks.split_first()?;
    Some(rest.iter().fold(token(first), |joined, mark| joined.join(&token(mark))))
}

/// The mark of a joined token on a shard: the one with the greatest seq, of any history.
fn mark_of(token: Option<&Token>, marks: &[Mark], shard: usize) -> Option<Bound> {
    let at = token?.mark(ShardId(shard as u16))?;
    marks.iter().find(|mark| mark.shard == shard && mark.bound.at == at).map(|mark| mark.bound)
}
