//! One connection to a shard. It opens itself when it is needed.

use super::logins::Attempt;
use super::state::Shard;
use crate::store::{Role, Server, Session, StoreError};
use aka_core::coherence::Opened;
use aka_core::domain::{Claim, Micros};
use std::future::{Future, pending};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The pause after a failed attempt to connect.
pub(super) const RECONNECT_PAUSE: Duration = Duration::from_millis(250);

/// A connection of a lane, the feed, a writer, a reader or the pool. It has one user at a time.
pub(super) struct ShardConnection {
    pub shard: Arc<Shard>,
    role: Role,
    /// Whether it is a lane's. Only that may lead to a server that stands in for the primary.
    is_lane: bool,
    /// Whether it leads to one.
    stands_in: bool,
    session: Option<Box<dyn Session>>,
    /// When the session was opened. A later contradiction, or a change of the primary, ends it
    /// (rules 7 and 10).
    opened: Opened,
    last_failure: Option<Failure>,
}

/// A failed attempt to connect.
struct Failure {
    at: Instant,
    /// As in [`ShardConnection::opened`].
    began: Opened,
    error: StoreError,
}

impl ShardConnection {
    pub fn new(shard: Arc<Shard>, role: Role) -> Self {
        Self {
            shard,
            is_lane: false,
            role,
            stands_in: false,
            session: None,
            opened: Opened::default(),
            last_failure: None,
        }
    }

    /// A connection of a lane. While there is no primary, it may lead to another server.
    pub fn of_lane(shard: Arc<Shard>) -> Self {
        let mut connection = Self::new(shard, Role::Read);
        connection.is_lane = true;
        connection
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
            let opened = self.shard.memory.opening();
            match &self.last_failure {
                // There is no pause if a lane has reached the shard since, or if there is another
                // primary.
                Some(failure)
                    if failure.at.elapsed() < RECONNECT_PAUSE
                        && self.shard.memory.may_use(failure.began)
                        && !self.shard.is_up() =>
                {
                    return Err(failure.error.clone());
                }
                _ => {}
            }
            let (shard, limit) = (&self.shard, self.shard.settings.connect_timeout);
            // The only server of a shard is used in whatever state it is.
            let target = shard.primary.target(self.is_lane || !shard.is_group());
            let target = in_time(limit, &shard.address(), target).await?;
            let attempt = shard.logins.begin(&target.server)?;
            let connected = log_in(shard, &target.server, self.role, attempt).await;
            self.last_failure = connected.as_ref().err().map(|error| {
                shard.health.doubt();
                Failure { at: Instant::now(), began: opened, error: error.clone() }
            });
            self.session = Some(connected?);
            self.stands_in = target.stands_in;
            self.opened = opened;
        }
        self.session()
    }

    /// Whether the session leads to a server that is not the primary.
    pub fn stands_in(&self) -> bool {
        self.stands_in
    }

    /// Reads what the answer of the session's server says of it: see [`Shard::heed`]. What a former
    /// primary says does not count.
    pub fn heed(&self, claim: &Claim, now: Micros) {
        if !self.stands_in && self.is_open() {
            self.shard.heed(claim, now);
        }
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

/// Opens a session to a server, and checks that it leads to the right shard. The pause after a
/// refused login is kept.
pub(super) async fn connect(
    shard: &Shard,
    server: &Server,
    role: Role,
) -> Result<Box<dyn Session>, StoreError> {
    let attempt = shard.logins.begin(server)?;
    log_in(shard, server, role, attempt).await
}

async fn log_in(
    shard: &Shard,
    server: &Server,
    role: Role,
    attempt: Attempt,
) -> Result<Box<dyn Session>, StoreError> {
    let (address, limit) = (shard.address(), shard.settings.connect_timeout);
    let opened = in_time(limit, &address, shard.store.connect(server, role)).await;
    let admitted = opened.and_then(|session| {
        match shard.directory.admit(shard.id, session.identity(), &address) {
            Ok(()) => Ok(session),
            Err(error) => {
                shard.goodbyes.close(session);
                Err(error)
            }
        }
    });
    shard.logins.end(server, attempt, admitted.as_ref().err());
    admitted.inspect_err(|error| shard.note_error(error))
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
