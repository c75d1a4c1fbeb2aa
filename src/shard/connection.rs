//! One connection to a shard. It opens itself when it is needed.

use super::state::Shard;
use crate::store::{Role, Session, StoreError};
use aka_core::coherence::Opened;
use std::future::{Future, pending};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The pause after a failed attempt to connect.
pub(super) const RECONNECT_PAUSE: Duration = Duration::from_millis(250);

/// A connection of a lane, the feed, a writer, a reader or the pool. It has one user at a time.
pub(super) struct ShardConnection {
    pub shard: Arc<Shard>,
    role: Role,
    session: Option<Box<dyn Session>>,
    /// The number of contradictions when the session was opened. A later one ends the session (rule
    /// 7).
    opened: Opened,
    last_failure: Option<(Instant, StoreError)>,
}

impl ShardConnection {
    pub fn new(shard: Arc<Shard>, role: Role) -> Self {
        Self { shard, role, session: None, opened: Opened::default(), last_failure: None }
    }

    /// Whether a session is open and may be used.
    pub fn is_open(&self) -> bool {
        self.session.is_some() && self.shard.memory.may_use(self.opened)
    }

    /// The session. If there is none, one is opened, and checked to lead to the right shard (rule
    /// 9).
    ///
    /// # Errors
    /// At once if an attempt failed a moment ago, or else within the connect timeout.
    pub async fn open(&mut self) -> Result<&mut dyn Session, StoreError> {
        if !self.is_open() {
            self.close();
            // There is no pause if a lane has reached the shard since: it is back.
            match &self.last_failure {
                Some((at, error)) if at.elapsed() < RECONNECT_PAUSE && !self.shard.is_up() => {
                    return Err(error.clone());
                }
                _ => {}
            }
            let attempt = self.shard.logins.begin()?;
            let opened = self.shard.memory.opening();
            let admitted = connect(&self.shard, self.role).await;
            self.shard.logins.end(attempt, admitted.as_ref().err());
            if let Err(error) = &admitted {
                self.shard.note_error(error);
                self.shard.health.doubt();
                self.last_failure = Some((Instant::now(), error.clone()));
            }
            self.session = Some(admitted?);
            self.last_failure = None;
            self.opened = opened;
        }
        self.session()
    }

    /// Counts the error of a call, and keeps it for operators.
    pub fn note<T>(&self, answer: Result<T, StoreError>) -> Result<T, StoreError> {
        answer.inspect_err(|error| self.shard.note_error(error))
    }

    /// The session that is open already, to go on with a transaction that was begun on it. A new
    /// session would be outside of the transaction.
    ///
    /// # Errors
    /// If there is none.
    pub fn session(&mut self) -> Result<&mut dyn Session, StoreError> {
        match self.session.as_deref_mut() {
            Some(session) => Ok(session),
            None => Err(StoreError::Unreachable {
                address: self.shard.address(),
                cause: "the connection closed".to_owned(),
            }),
        }
    }

    /// How many keys one load may ask for (see [`Session::most_keys`]).
    pub fn most_keys(&self) -> usize {
        self.session.as_ref().map_or(1, |session| session.most_keys())
    }

    /// Closes the session, if there is one, and with it the connection to the database.
    pub fn close(&mut self) {
        if let Some(session) = self.session.take() {
            self.shard.goodbyes.close(session);
        }
    }

    /// Closes the session if the error makes it unusable. The shard may be down, so other tasks
    /// find out too.
    pub fn settle<T>(&mut self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        if result.as_ref().is_err_and(StoreError::closes_connection) {
            self.close();
            self.shard.health.doubt();
        }
        result
    }

    /// Ends when a session for writes was idle for so long that it should be closed. If there is
    /// none, it never ends.
    pub async fn idle_too_long(&mut self) {
        match self.shard.store.idle_limit().filter(|_| self.session.is_some()) {
            Some(limit) => tokio::time::sleep(limit).await,
            None => pending().await,
        }
    }
}

impl Drop for ShardConnection {
    fn drop(&mut self) {
        self.close();
    }
}

/// Opens a session, and checks that it leads to the right shard.
async fn connect(shard: &Shard, role: Role) -> Result<Box<dyn Session>, StoreError> {
    let (address, limit) = (shard.address(), shard.settings.connect_timeout);
    let session = in_time(limit, &address, shard.store.connect(role)).await?;
    match shard.directory.admit(shard.id, session.identity(), &address) {
        Ok(()) => Ok(session),
        Err(error) => {
            shard.goodbyes.close(session);
            Err(error)
        }
    }
}

/// Bounds a call on a database in time. If the call takes too long, it is given up, and its
/// connection must be closed, as [`ShardConnection::settle`] does.
pub(super) async fn in_time<T>(
    limit: Duration,
    address: &str,
    call: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    match tokio::time::timeout(limit, call).await {
        Ok(result) => result,
        Err(_) => {
            let limit_ms = limit.as_millis() as u64;
            Err(StoreError::TimedOut { address: address.to_owned(), limit_ms })
        }
    }
}

/// `ask!(connection, |session| session.call(…))` makes one call, in time. The call must be safe to
/// repeat: it is made again on a new connection if an idle connection turns out to be broken, or if
/// there was a contradiction meanwhile, because then an old primary may have answered.
///
/// A macro, because no closure can lend a session to a future that also borrows its arguments.
macro_rules! ask {
    ($connection:expr, |$session:ident| $call:expr) => {{
        let connection: &mut $crate::shard::connection::ShardConnection = $connection;
        let mut repeated = false;
        loop {
            let was_open = connection.is_open();
            let limit = connection.shard.settings.query_timeout;
            let answer = match connection.open().await {
                Ok($session) => {
                    let call =
                        $crate::shard::connection::in_time(limit, "the database", $call).await;
                    connection.note(call)
                }
                Err(error) => Err(error),
            };
            let answer = connection.settle(answer);
            match answer {
                Err($crate::store::StoreError::Unreachable { .. }) if was_open => {}
                Ok(_) if !repeated && !connection.is_open() => repeated = true,
                answer => break answer,
            }
        }
    }};
}
pub(super) use ask;
