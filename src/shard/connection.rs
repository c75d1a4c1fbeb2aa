//! One connection to a shard that opens itself when it is needed.

use super::Shard;
use crate::store::{Role, Session, StoreError};
use aka_core::coherence::Opened;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// After a failed attempt to connect, the next is made no sooner.
pub(crate) const RECONNECT_PAUSE: Duration = Duration::from_millis(250);

/// A connection of a lane, of the feed, of the writer or of the pool. Whoever holds it uses it alone.
pub(crate) struct ShardConnection {
    pub shard: Arc<Shard>,
    role: Role,
    session: Option<Box<dyn Session>>,
    opened: Opened,
    last_failure: Option<Instant>,
}

impl ShardConnection {
    pub fn new(shard: Arc<Shard>, role: Role) -> Self {
        Self { shard, role, session: None, opened: Opened::default(), last_failure: None }
    }

    /// Whether a session is open and may be used.
    pub fn is_open(&self) -> bool {
        self.session.is_some() && self.shard.memory.may_use(self.opened)
    }

    /// The session; opened, and checked to lead to the right shard, if there is none.
    ///
    /// # Errors
    /// At once if an attempt failed a moment ago; else within the connect timeout.
    pub async fn open(&mut self) -> Result<&mut dyn Session, StoreError> {
        if !self.is_open() {
            self.close();
            let address = self.shard.address();
            // But for a shard that a lane has reached since: then it is back for everybody.
            let pausing = self.last_failure.is_some_and(|at| at.elapsed() < RECONNECT_PAUSE);
            if pausing && !self.shard.is_up() {
                let cause = "it could not be reached a moment ago".to_owned();
                return Err(StoreError::Unreachable { address, cause });
            }
            let opening = self.shard.memory.opening();
            let limit = self.shard.settings.connect_timeout;
            let opened = in_time(limit, &address, self.shard.store.connect(self.role)).await;
            let admitted = opened.and_then(|session| {
                self.shard.directory.admit(self.shard.id, session.identity(), &address)?;
                Ok(session)
            });
            self.last_failure = admitted.is_err().then(Instant::now);
            self.session = Some(admitted?);
            self.opened = opening;
        }
        self.opened()
    }

    /// The session that is open, to go on with a transaction that was begun on it. Never a new one:
    /// what follows would be outside of the transaction.
    pub fn opened(&mut self) -> Result<&mut dyn Session, StoreError> {
        match self.session.as_deref_mut() {
            Some(session) => Ok(session),
            None => Err(StoreError::Unreachable {
                address: self.shard.address(),
                cause: "the connection closed".to_owned(),
            }),
        }
    }

    /// Drops the session, and with it the connection.
    pub fn close(&mut self) {
        self.session = None;
    }

    /// Closes the session if the error says that it is of no more use.
    pub fn settle<T>(&mut self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        if result.as_ref().is_err_and(StoreError::closes_connection) {
            self.close();
        }
        result
    }
}

/// Bounds a call on a database in time. A call that took too long is given up, and its connection
/// must be closed: [`ShardConnection::settle`] does.
pub(crate) async fn in_time<T>(
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

/// `ask!(connection, |session| session.call(…))`: one call that can be repeated, in time, on a connection. If a
/// connection that had been idle turns out to be broken, it is made once more on a new one; also if a new
/// epoch began meanwhile: then it may be an old primary that has answered.
///
/// A macro, because no closure can lend a session to a future that also borrows its arguments.
macro_rules! ask {
    ($connection:expr, |$session:ident| $call:expr) => {{
        let connection: &mut $crate::shard::ShardConnection = $connection;
        let mut repeated = false;
        loop {
            let was_open = connection.is_open();
            let limit = connection.shard.settings.query_timeout;
            let answer = match connection.open().await {
                Ok($session) => $crate::shard::in_time(limit, "the database", $call).await,
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
pub(crate) use ask;
