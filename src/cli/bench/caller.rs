//! The callers of one thread, all on a runtime of its own.

use super::keys::{Draw, Fresh, Key};
use super::message::{Checker, Encoder, Kind, Verdict};
use super::pace::Pace;
use super::tally::{Call, Live, Tally};
use super::wire::{Dialogue, Failed, Link};
use bytes::Bytes;
use http::Request;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// After a call that failed in a closed loop: a server that refuses at once is not to be asked as
/// fast as this machine can.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(10);

/// Where a caller's keys come from.
pub(super) enum Source {
    Draw(Box<Draw>),
    Fresh(Fresh),
}

impl Source {
    fn fill(&mut self, keys: &mut Vec<Key>, count: usize) {
        keys.clear();
        keys.extend((0..count).map(|_| match self {
            Self::Draw(draw) => draw.next(),
            Self::Fresh(fresh) => fresh.next(),
        }));
    }
}

/// What the callers of one thread share.
pub(super) struct Crew {
    pub kind: Kind,
    pub project_id: u64,
    /// Ids of a call.
    pub batch: usize,
    pub head: Request<()>,
    pub pace: Pace,
    pub source: RefCell<Source>,
    pub checker: RefCell<Checker>,
    pub tally: RefCell<Tally>,
    /// Calls that are on their way.
    pub outstanding: Cell<u64>,
}

impl Crew {
    /// Calls, one after the other, until the run is over.
    pub async fn call(self: Rc<Self>, link: Rc<Link>, live: Arc<Live>) {
        let mut encoder = Encoder::new(self.kind, self.project_id);
        let mut keys = Vec::with_capacity(self.batch);
        let mut dialogue = None;
        while let Some(due) = self.pace.next().await {
            self.source.borrow_mut().fill(&mut keys, self.batch);
            let frame = encoder.encode(&keys);
            self.outstanding.update(|calls| calls + 1);
            let answer = self.ask(&link, &mut dialogue, frame).await;
            self.outstanding.update(|calls| calls - 1);
            let outcome =
                answer.and_then(|message| self.checker.borrow_mut().check(&keys, message));
            let cold = keys.iter().filter(|key| key.is_fresh()).count() as u64;
            let call = Call { due, ids: keys.len() as u64, cold };
            let failed = outcome.is_err();
            self.tally.borrow_mut().note(&call, outcome, &live);
            if failed && self.pace.is_closed_loop() {
                tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
            }
        }
        if let Some(dialogue) = dialogue
            && let Err(failed) = Dialogue::end(dialogue).await
        {
            let call = Call { due: std::time::Instant::now(), ids: 1, cold: 0 };
            self.tally.borrow_mut().note(&call, Err::<Verdict, _>(failed), &live);
        }
    }

    async fn ask(
        &self,
        link: &Link,
        dialogue: &mut Option<Dialogue>,
        frame: Bytes,
    ) -> Result<Bytes, Failed> {
        if self.kind != Kind::StreamResolve {
            return link.unary(&self.head, frame).await;
        }
        let open = match dialogue {
            Some(open) => open,
            None => dialogue.insert(link.stream(&self.head).await?),
        };
        let answer = open.ask(frame).await;
        if answer.is_err() {
            // After an error nothing more is heard of a stream.
            *dialogue = None;
        }
        answer
    }

    /// The counts, once no caller goes on.
    pub fn finish(self: Rc<Self>, empty: Tally) -> Tally {
        let mut tally = self.tally.replace(empty);
        tally.note_unanswered(self.outstanding.get() * self.batch as u64);
        tally.unsent += self.pace.unsent();
        tally
    }
}
