//! The faults. A seed decides which ones happen, and when.

use super::history::Trouble;
use super::reader::World;
use super::site::{INSTANCES, SHARDS};
use aka_test_support::eventually;
use aka_test_support::proxy::Mode;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rustix::process::Signal;
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The network between a shard and one instance, or all of them.
    Network { mode: Mode, shard: usize, instance: Option<usize>, lasts: Duration },
    /// An instance dies (SIGKILL), and is started again.
    Kill { instance: usize },
    /// An instance stops in order (SIGTERM), and is started again.
    Restart { instance: usize },
    /// An instance stands still (SIGSTOP): its memory grows old, and it does not know.
    Freeze { instance: usize, lasts: Duration },
    /// A primary stands still; its connections stay open.
    FreezeShard { shard: usize, lasts: Duration },
    /// A primary dies (SIGKILL). Its data is copied, and it is started again.
    Crash { shard: usize },
    /// A primary dies, and its copy, which lacks the last writes, takes its place.
    FailOver { shard: usize },
}

impl Fault {
    fn concerns(self) -> (Option<usize>, Option<usize>) {
        match self {
            Self::Network { shard, instance, .. } => (Some(shard), instance),
            Self::Kill { instance }
            | Self::Restart { instance }
            | Self::Freeze { instance, .. } => (None, Some(instance)),
            Self::FreezeShard { shard, .. } | Self::Crash { shard } | Self::FailOver { shard } => {
                (Some(shard), None)
            }
        }
    }

    /// The writes that it may block: see [`Trouble::writes`].
    fn concerns_writes(self) -> (Option<usize>, Option<usize>) {
        match self {
            Self::Network { shard, .. } => (Some(shard), None),
            Self::Freeze { .. } => (None, None),
            // Copies keep the disk busy, which the servers share here.
            Self::Crash { .. } => (None, None),
            _ => self.concerns(),
        }
    }

    /// Makes the fault, and undoes it.
    async fn happen(self, world: &World) {
        let World { site, history, .. } = world;
        match self {
            Self::Network { mode, shard, instance, lasts } => {
                site.set(shard, instance, mode);
                tokio::time::sleep(lasts).await;
                site.set(shard, instance, Mode::Pass);
            }
            Self::Kill { instance } => {
                let victim = site.instance(instance);
                tokio::task::spawn_blocking(move || victim.kill()).await.expect("killed");
                site.relaunch(instance).await;
            }
            Self::Restart { instance } => {
                let status = site.instance(instance).stop().await;
                assert_eq!(status.code(), Some(0), "instance {instance} stopped with {status}");
                site.relaunch(instance).await;
            }
            Self::Freeze { instance, lasts } => {
                let victim = site.instance(instance);
                victim.signal(Signal::STOP);
                tokio::time::sleep(lasts).await;
                victim.signal(Signal::CONT);
            }
            Self::FreezeShard { shard, lasts } => {
                let victim = site.primary(shard);
                victim.pause();
                tokio::time::sleep(lasts).await;
                victim.resume();
            }
            Self::Crash { shard } => site.crash(shard, history).await,
            Self::FailOver { shard } => site.fail_over(shard, history).await,
        }
    }
}

/// Lets a fault happen, and waits until every instance answers for every id again. Returns how long
/// that took after the fault was over.
pub async fn inflict(world: &World, fault: Fault) -> Duration {
    let (shard, instance) = fault.concerns();
    let from = world.history.now();
    fault.happen(world).await;
    let over = world.history.now();
    for index in (0..INSTANCES).filter(|index| instance.is_none_or(|of| of == *index)) {
        for shard in (0..SHARDS).filter(|index| shard.is_none_or(|of| of == *index)) {
            let what = format!("instance {index} answers for shard {shard} after {fault:?}");
            eventually(&what, async || world.answers(index, shard).await.then_some(())).await;
        }
    }
    let until = world.history.now();
    let healed = until - over;
    println!("{from:>10.1?} {fault:?}: healed in {healed:.2?}");
    let (what, writes) = (format!("{fault:?}"), fault.concerns_writes());
    world.history.troubled(Trouble { what, shard, instance, writes, from, until });
    healed
}

/// An endless schedule.
pub struct Schedule {
    random: StdRng,
    /// The faults that come before new ones are drawn.
    round: Vec<Fault>,
    drawn: usize,
}

impl Schedule {
    /// How many faults it takes until every kind has happened.
    pub const ROUND: usize = 13;

    pub fn new(seed: u64) -> Self {
        Self { random: StdRng::seed_from_u64(seed), round: Vec::new(), drawn: 0 }
    }

    /// How many faults there were.
    pub fn drawn(&self) -> usize {
        self.drawn
    }

    /// The pause before the next fault.
    pub fn calm(&mut self) -> Duration {
        Duration::from_millis(self.random.random_range(300..1_200))
    }

    pub fn draw(&mut self) -> Fault {
        if self.round.is_empty() {
            self.round = self.draw_round();
            assert_eq!(self.round.len(), Self::ROUND);
        }
        self.drawn += 1;
        self.round.pop().expect("a round has faults")
    }

    /// One of each kind, in any order; a failover comes some time after the crash that its copy is
    /// of, so that there is something to lose.
    fn draw_round(&mut self) -> Vec<Fault> {
        let random = &mut self.random;
        let crashed = random.random_range(..SHARDS);
        let mut round = vec![Fault::Crash { shard: crashed }];
        for mode in [Mode::BlackHole, Mode::Mute, Mode::Reset, Mode::Refuse] {
            let (shard, lasts) = (random.random_range(..SHARDS), millis(random, 1_500..4_000));
            round.push(Fault::Network { mode, shard, instance: None, lasts });
        }
        let mode = Mode::Delay(millis(random, 20..150));
        let (shard, lasts) = (random.random_range(..SHARDS), millis(random, 1_000..2_500));
        round.push(Fault::Network { mode, shard, instance: None, lasts });
        // One instance is cut off while the others go on writing.
        for mode in [Mode::BlackHole, Mode::Mute] {
            let (shard, instance) =
                (random.random_range(..SHARDS), random.random_range(..INSTANCES));
            let (instance, lasts) = (Some(instance), millis(random, 2_500..4_500));
            round.push(Fault::Network { mode, shard, instance, lasts });
        }
        let [killed, restarted, frozen] = [(); 3].map(|()| random.random_range(..INSTANCES));
        round.push(Fault::Kill { instance: killed });
        round.push(Fault::Restart { instance: restarted });
        round.push(Fault::Freeze { instance: frozen, lasts: millis(random, 1_500..3_000) });
        let (shard, lasts) = (random.random_range(..SHARDS), millis(random, 1_500..3_000));
        round.push(Fault::FreezeShard { shard, lasts });
        round.shuffle(random);
        // Faults are taken from the end, so an earlier place means a later time.
        let crash = round.iter().position(|fault| matches!(fault, Fault::Crash { .. }));
        let crash = crash.expect("there is one");
        round.insert(random.random_range(..=crash), Fault::FailOver { shard: crashed });
        round
    }
}

fn millis(random: &mut StdRng, range: std::ops::Range<u64>) -> Duration {
    Duration::from_millis(random.random_range(range))
}
