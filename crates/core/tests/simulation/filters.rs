//! The filter's task, step by step, as `src/shard/filter.rs` of the service has it. The snapshots
//! are real, but are kept in memory and not on disk.

use crate::instance::{FILTER, ScanPage, Task};
use crate::rng::Rng;
use crate::world::{CallRef, Event, World};
use aka_core::coherence::{
    FillSaved, FilterReplay, FilterScan, PendingPage, Replayed, SavedFilter,
};
use aka_core::domain::LogPage;

impl World {
    pub fn filter_later(&mut self, instance: usize, shard: usize) {
        let life = self.instances[instance].life;
        let pause = self.schedule.feed_interval;
        self.push(pause, Event::Filter { instance, life, shard });
    }

    /// Restores or fills a filter if none answers. Sometimes fills another one all the same.
    pub fn look_after_filter(&mut self, instance: usize, life: u64, shard: usize) {
        if self.instances[instance].life != life {
            return;
        }
        let again = !self.quiet() && self.rng.chance(if self.schedule.fills { 400 } else { 100 });
        // A generator of its own, so that other draws stay as they are. It saves seldom, so that
        // snapshots are old. Old ones fill no cache: all of the few keys have changed since.
        let often = if self.schedule.fills { 500 } else { 50 };
        if Rng::new(self.rng.clone().next()).chance(often) {
            self.save_filter(instance, shard);
        }
        if self.side(instance, shard).memory.filter().is_none() && self.restore(instance, shard) {
            return;
        }
        match again || self.side(instance, shard).memory.filter().is_none() {
            true => self.scan(instance, shard),
            false => self.filter_later(instance, shard),
        }
    }

    pub fn save_filter(&mut self, instance: usize, shard: usize) {
        let Some(image) = self.side(instance, shard).memory.filter_image() else { return };
        let mut bytes = Vec::new();
        image.write(&self.identity, &mut bytes).expect("there is room");
        self.disks[instance][shard] = Some(bytes);
        self.note("saved", &[instance as u64, shard as u64, image.at.seq]);
    }

    /// Begins to bring a snapshot up to date. False if there is none.
    fn restore(&mut self, instance: usize, shard: usize) -> bool {
        let Some(bytes) = &self.disks[instance][shard] else { return false };
        let length = bytes.len() as u64;
        let saved = SavedFilter::read(&self.identity, length, &mut bytes.as_slice())
            .expect("what was saved");
        let Some(replay) = self.side(instance, shard).memory.begin_replay(saved) else {
            return false;
        };
        self.begin(instance, shard, FILTER, Task::Replay(replay, None));
        true
    }

    pub fn replayed(&mut self, at: CallRef, mut replay: FilterReplay, page: &LogPage) {
        let CallRef { instance, shard, .. } = at;
        let memory = self.side(instance, shard).memory.clone();
        let came = memory.replay(&mut replay, page);
        let next = replay.next();
        self.note("replayed", &[instance as u64, shard as u64, page.at.seq, next]);
        self.note_contradictions(instance, shard);
        match came {
            Replayed::More => {
                self.begin(instance, shard, FILTER, Task::Replay(replay, None));
            }
            Replayed::Unfit(_) => self.scan(instance, shard),
            Replayed::Done => {
                let fills = self.schedule.fills;
                self.side(instance, shard).saved = fills.then(|| replay.into_aliases());
                self.fill_saved(instance, shard);
                self.filter_later(instance, shard);
            }
            Replayed::Over => self.filter_later(instance, shard),
        }
    }

    /// Fills the cache with an alias that an earlier life has saved, if it is time.
    pub fn fill_saved(&mut self, instance: usize, shard: usize) {
        let side = self.side(instance, shard);
        let Some(saved) = side.saved.as_mut() else { return };
        let filled = side.memory.fill_saved(saved, 1);
        if filled == FillSaved::Over {
            side.saved = None;
        }
        if let FillSaved::Filled(filled) = filled {
            self.note("filled", &[instance as u64, shard as u64, filled as u64]);
        }
        self.note_contradictions(instance, shard);
    }

    fn scan(&mut self, instance: usize, shard: usize) {
        let memory = self.side(instance, shard).memory.clone();
        // Keys are dealt out to the shards in turn, so the first key of a shard has the shard's
        // number.
        let scan = (shard < self.keys.len()).then(|| memory.begin_filter(4)).flatten();
        match scan {
            Some(scan) => self.ask_page(instance, shard, scan, shard),
            None => self.filter_later(instance, shard),
        }
    }

    fn ask_page(&mut self, instance: usize, shard: usize, scan: FilterScan, key: usize) {
        let pending = self.side(instance, shard).memory.begin_page();
        self.begin(instance, shard, FILTER, Task::Scan(scan, pending, key, None));
    }

    pub fn scanned(
        &mut self,
        at: CallRef,
        mut scan: FilterScan,
        pending: PendingPage,
        key: usize,
        page: &ScanPage,
    ) {
        let CallRef { instance, shard, .. } = at;
        let memory = self.side(instance, shard).memory.clone();
        let row = page.canonical.as_ref().map(|canonical| (&self.keys[key], canonical));
        if self.schedule.fills {
            memory.fill(pending, page.at, &page.claim, row);
        }
        let found = row.map(|(key, _)| key);
        let goes_on = memory.add_filter_page(&mut scan, page.at, found);
        self.note("scanned", &[instance as u64, key as u64, page.at.seq, u64::from(goes_on)]);
        self.note_contradictions(instance, shard);
        let next = key + self.schedule.shards;
        if goes_on && next < self.keys.len() {
            return self.ask_page(instance, shard, scan, next);
        }
        if goes_on {
            memory.end_filter(scan);
        }
        self.filter_later(instance, shard);
    }
}
