//! What a server says of itself, as columns of each statement (rule 10).

use super::backend::Backend;
use super::query::Query;
use super::row::SqlRow;
use aka_core::domain::{Beat, Claim, Micros};

/// The columns in which a statement brings the [`Claim`] of its server. They are numbers.
#[derive(Clone, Debug)]
pub(in crate::store) struct ClaimColumns {
    /// When the last beat was made. −1: the shard is one server and has no beats.
    pub beat: String,
    /// The sum of [`TAKES_WRITES`] and [`BY_THIS_SERVER`].
    pub flags: String,
    /// The name of the server, to tell its beats from those of another one. `None`: no beats.
    this_server: Option<&'static str>,
    takes_writes: String,
}

const TAKES_WRITES: u64 = 1;
const BY_THIS_SERVER: u64 = 2;

/// The servers of a group have different ids, or they could not replicate. The host and the port are
/// added for services that give all their servers one id.
const THIS_SERVER: &str = "CONCAT(@@server_id, '@', @@hostname, ':', @@port)";

impl ClaimColumns {
    /// The columns of a database that is one server and always takes writes.
    pub fn sole() -> Self {
        Self {
            beat: "-1".to_owned(),
            flags: "1".to_owned(),
            this_server: None,
            takes_writes: "1".to_owned(),
        }
    }

    /// The columns of a MySQL server. `read_only`: the names of the server's variables of which one
    /// is 1 if it takes no writes.
    pub fn of_server(read_only: &[String], has_beats: bool) -> Self {
        // The text of the value, because some versions say `OFF` and others 0.
        let off = |name: &String| format!("CONCAT(@@global.{name}) IN ('0', 'OFF')");
        let all_off: Vec<_> = read_only.iter().map(off).collect();
        let takes_writes = match all_off.is_empty() {
            true => "1".to_owned(),
            false => format!("(CASE WHEN {} THEN 1 ELSE 0 END)", all_off.join(" AND ")),
        };
        if !has_beats {
            let flags = takes_writes.clone();
            return Self { beat: "-1".to_owned(), flags, this_server: None, takes_writes };
        }
        let own = format!(
            "(SELECT CASE WHEN beat_by = {THIS_SERVER} THEN 2 ELSE 0 END FROM shard_beat WHERE id = 1)"
        );
        Self {
            beat: "(SELECT beat_us FROM shard_beat WHERE id = 1)".to_owned(),
            flags: format!("{takes_writes} + {own}"),
            this_server: Some(THIS_SERVER),
            takes_writes,
        }
    }

    /// Whether the server takes writes. It does not ask for beats, whose table may be missing.
    pub async fn takes_writes<B: Backend>(&self, connection: &mut B) -> Result<bool, sqlx::Error> {
        let rows = connection.fetch(Query::new(format!("SELECT {}", self.takes_writes))).await?;
        Ok(rows.first().ok_or(sqlx::Error::RowNotFound)?.u64(0)? & TAKES_WRITES != 0)
    }

    /// The claim in the columns `beat` and `flags` of a row.
    pub fn read(row: &impl SqlRow, beat: usize, flags: usize) -> Result<Claim, sqlx::Error> {
        let (at, flags) = (row.int(beat)?, row.u64(flags)?);
        let by_this_server = flags & BY_THIS_SERVER != 0;
        let beat = (at >= 0).then_some(Beat { at: Micros(at), by_this_server });
        Ok(Claim { takes_writes: flags & TAKES_WRITES != 0, beat })
    }

    /// The statement that commits a beat, unless this server made one since `older_than_us` ago.
    /// `None`: the shard has no beats.
    pub fn beat_statement<B: Backend>(&self, older_than_us: u64) -> Option<String> {
        let (server, now) = (self.this_server?, B::NOW_US);
        Some(format!(
            "UPDATE shard_beat SET beat_us = {now}, beat_by = {server}
             WHERE id = 1 AND (beat_by <> {server} OR beat_us > {now}
                OR beat_us <= {now} - {older_than_us})"
        ))
    }
}
