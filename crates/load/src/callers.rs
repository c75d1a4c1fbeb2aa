//! Callers: each makes calls, one after the other, until the run is over.

use crate::call::{CallFailed, OpenCall};
use crate::check::Checker;
use crate::connection::LoadConnection;
use crate::draw::IdSource;
use crate::ids::LoadId;
use crate::pace::Pace;
use crate::plan::Mode;
use crate::request::Operation;
use crate::tally::{EndedCall, LiveCounts, Tally};
use bytes::Bytes;
use http::Request;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often a call is begun that the server does not take, as one that stops may do.
const BEGINS: usize = 4;

/// How long a caller of a closed loop waits after a call that failed. A server that refuses at once
/// would otherwise be asked as fast as this machine can.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(10);

/// The state that callers of one thread share. They all do the same operation.
pub(crate) struct Callers {
    pub operation: Operation,
    pub project_id: u64,
    /// The head of every request.
    pub head: Request<()>,
    pub pace: Pace,
    pub source: RefCell<IdSource>,
    pub checker: RefCell<Checker>,
    pub tally: RefCell<Tally>,
    pub live: Arc<LiveCounts>,
    /// How many calls are on their way.
    pub outstanding: Cell<u64>,
}

impl Callers {
    /// One caller: makes calls on this connection until the run is over.
    pub async fn run_one(self: Rc<Self>, connection: Rc<LoadConnection>) {
        let count = self.operation.ids_per_call() as usize;
        let mut ids = Vec::with_capacity(count);
        let mut stream = None;
        while let Some(due) = self.pace.next().await {
            self.source.borrow_mut().fill(&mut ids, count);
            let frame = self.operation.request(self.project_id, &ids);
            self.outstanding.update(|calls| calls + 1);
            let answer = self.ask(&connection, &mut stream, frame).await;
            self.outstanding.update(|calls| calls - 1);
            let failed = self.note(due, &ids, answer);
            if failed && self.pace.is_closed_loop() {
                tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
            }
        }
        if let Some(stream) = stream
            && let Err(failed) = OpenCall::end(stream).await
        {
            let call = EndedCall { due: Instant::now(), ids: 1, cold: 0 };
            self.tally.borrow_mut().note(&call, Err(failed), &self.live);
        }
    }

    /// Asks in a call of its own. It is begun again if the server has not taken it.
    async fn ask_once(
        &self,
        connection: &LoadConnection,
        frame: Bytes,
    ) -> Result<Bytes, CallFailed> {
        for _ in 1..BEGINS {
            let answer = connection.call(&self.head).await?.ask_once(frame.clone()).await;
            if !matches!(answer, Err(CallFailed { was_not_taken: true, .. })) {
                return answer;
            }
            self.tally.borrow_mut().repeated += 1;
        }
        connection.call(&self.head).await?.ask_once(frame).await
    }

    /// Asks in a call of its own, or on the caller's stream, which is opened if it is not open.
    async fn ask(
        &self,
        connection: &LoadConnection,
        stream: &mut Option<OpenCall>,
        frame: Bytes,
    ) -> Result<Bytes, CallFailed> {
        if !matches!(self.operation, Operation::Lookup(Mode::Stream(_))) {
            return self.ask_once(connection, frame).await;
        }
        let open = match stream {
            Some(open) => open,
            None => stream.insert(connection.call(&self.head).await?),
        };
        let answer = open.ask(frame).await;
        if answer.is_err() {
            // After an error the stream brings no more answers.
            *stream = None;
        }
        answer
    }

    /// Checks and counts the answer to a call. Returns whether the call failed.
    fn note(&self, due: Instant, ids: &[LoadId], answer: Result<Bytes, CallFailed>) -> bool {
        let checked = answer.and_then(|message| self.checker.borrow_mut().check(ids, message));
        let failed = checked.is_err();
        let cold = ids.iter().filter(|id| id.is_unseen()).count() as u64;
        let call = EndedCall { due, ids: ids.len() as u64, cold };
        self.tally.borrow_mut().note(&call, checked, &self.live);
        failed
    }

    /// The counts, once all callers have ended. Leaves `empty` in their place.
    pub fn finish(&self, empty: Tally) -> Tally {
        let mut tally = self.tally.replace(empty);
        let ids = u64::from(self.operation.ids_per_call());
        tally.note_unanswered(self.outstanding.get() * ids);
        tally.unsent += self.pace.unsent();
        tally
    }
}
