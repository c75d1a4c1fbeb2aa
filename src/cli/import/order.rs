//! Rows that touch the same id take effect in the file's order, though several calls are under way.
//!
//! What `b → c` does depends on whether `a → b` came before: it makes `b` canonical, and `b → c` is
//! then refused. So a row that touches an id waits until the rows before it that touch the same id
//! are answered for good, retries included. Aliases of one canonical id depend on each other only
//! through the limit of aliases. They may share a call, in which the server keeps their order, but
//! two calls with them are not under way at once: else chance would say which of them are over the
//! limit.

use super::row::Row;
use parking_lot::Mutex;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::pin::Pin;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// The rows that are not answered yet, by the ids that they touch. It holds as many rows as the
/// batches under way.
#[derive(Default)]
pub(super) struct Order {
    uses: Mutex<HashMap<IdHash, Uses>>,
    answered: Notify,
    hasher: RandomState,
}

/// An id of a project. If two ids had one hash, a row would wait without need, and no more.
type IdHash = u64;

/// The rows that touch an id, by their numbers.
#[derive(Default)]
struct Uses {
    as_alias: BTreeSet<u64>,
    as_canonical: BTreeSet<u64>,
}

/// A row that is to be sent.
#[derive(Debug)]
pub(super) struct PendingRow {
    pub row: Row,
    alias: IdHash,
    canonical: IdHash,
}

impl Order {
    /// Takes up a row that is to be sent. Rows must be taken up in the file's order.
    pub fn admit(&self, row: Row) -> PendingRow {
        // A row that must not be sent touches nothing.
        let Ok((asked, canonical_id)) = row.asked() else {
            return PendingRow { row, alias: 0, canonical: 0 };
        };
        let hash = |id: &str| self.hasher.hash_one((asked.project_id, id));
        let (alias, canonical) = (hash(&asked.alias_id), hash(canonical_id));
        let mut uses = self.uses.lock();
        uses.entry(alias).or_default().as_alias.insert(row.number);
        uses.entry(canonical).or_default().as_canonical.insert(row.number);
        drop(uses);
        PendingRow { row, alias, canonical }
    }

    /// Divides the rows of a batch that wait, which stand in order, into those that may go out in
    /// one call and those that must wait on.
    pub fn ready(&self, waiting: Vec<PendingRow>) -> (Vec<PendingRow>, Vec<PendingRow>) {
        let uses = self.uses.lock();
        let batch = waiting.first().map_or(0, |first| first.row.number);
        let mut held: HashSet<IdHash> = HashSet::new();
        waiting.into_iter().partition(|pending| {
            let number = pending.row.number;
            let is_free = |users: Option<&BTreeSet<u64>>, from: u64| {
                users.and_then(BTreeSet::first).is_none_or(|&first| first >= from)
            };
            let (alias, canonical) = (uses.get(&pending.alias), uses.get(&pending.canonical));
            let free = is_free(alias.map(|uses| &uses.as_alias), number)
                && is_free(alias.map(|uses| &uses.as_canonical), number)
                && is_free(canonical.map(|uses| &uses.as_alias), number)
                // Those of this batch go out with it, unless one of them is held back.
                && is_free(canonical.map(|uses| &uses.as_canonical), batch)
                && !held.contains(&pending.canonical);
            if !free {
                held.insert(pending.canonical);
            }
            free
        })
    }

    /// A row was answered for good.
    pub fn settle(&self, pending: PendingRow) -> Row {
        let PendingRow { row, alias, canonical } = pending;
        let mut uses = self.uses.lock();
        for (id, is_alias) in [(alias, true), (canonical, false)] {
            if let Some(of_id) = uses.get_mut(&id) {
                let users = if is_alias { &mut of_id.as_alias } else { &mut of_id.as_canonical };
                users.remove(&row.number);
                if of_id.as_alias.is_empty() && of_id.as_canonical.is_empty() {
                    uses.remove(&id);
                }
            }
        }
        row
    }

    /// Tells those who wait that rows were answered.
    pub fn announce(&self) {
        self.answered.notify_waiters();
    }

    /// Ends when rows are answered after this call, not after the first poll: what happens between
    /// a look at [`Order::ready`] and the wait must not be missed.
    pub fn next_answer(&self) -> Pin<Box<Notified<'_>>> {
        let mut next = Box::pin(self.answered.notified());
        next.as_mut().enable();
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::import::row::{AliasRow, RowText};

    fn row((number, (alias, canonical)): (u64, &(&str, &str))) -> Row {
        let (alias_id, canonical_id) = (alias.to_string(), canonical.to_string());
        Row {
            number,
            line: number,
            written: RowText { text: Vec::new(), header: None },
            alias: Ok(AliasRow { project_id: 1, alias_id, canonical_id }),
            chain_end: Ok(None),
        }
    }

    /// Admits batches of rows, and returns for each of them what may go out at once.
    fn at_once(batches: &[&[(&str, &str)]]) -> Vec<Vec<u64>> {
        let (order, mut numbers) = (Order::default(), 1..);
        let admit = |rows: &&[(&str, &str)]| -> Vec<PendingRow> {
            rows.iter().map(|pair| order.admit(row((numbers.next().unwrap_or(0), pair)))).collect()
        };
        let batches: Vec<_> = batches.iter().map(admit).collect();
        let ready = |batch| order.ready(batch).0.iter().map(|ready| ready.row.number).collect();
        batches.into_iter().map(ready).collect()
    }

    #[test]
    fn a_row_waits_for_those_before_it_that_touch_its_ids() {
        assert_eq!(at_once(&[&[("a", "x"), ("b", "x"), ("c", "y")]]), [vec![1, 2, 3]]);
        assert_eq!(at_once(&[&[("a", "x"), ("a", "y")]]), [vec![1]]);
        assert_eq!(at_once(&[&[("a", "b"), ("b", "c"), ("d", "c")]]), [vec![1]]);
        assert_eq!(at_once(&[&[("b", "c"), ("a", "b"), ("d", "e")]]), [vec![1, 3]]);
        assert_eq!(at_once(&[&[("a", "a"), ("b", "c")]]), [vec![1, 2]]);
        let second = |rows: &[(&str, &str)]| at_once(&[&[("a", "b")], rows]).remove(1).len();
        assert_eq!(second(&[("b", "c"), ("d", "e")]), 1);
        assert_eq!(second(&[("c", "a")]), 0);
        // They may share a call, but are not under way in two.
        assert_eq!(second(&[("c", "b"), ("d", "b")]), 0);
    }

    #[test]
    fn an_answer_lets_the_next_one_go() {
        let order = Order::default();
        let rows = [(1, &("a", "b")), (2, &("b", "c")), (3, &("b", "d"))];
        let waiting = rows.map(|found| order.admit(row(found))).into();
        let (ready, waiting) = order.ready(waiting);
        assert_eq!((ready.len(), waiting.len()), (1, 2));
        let (none, waiting) = order.ready(waiting);
        assert!(none.is_empty());
        for pending in ready {
            order.settle(pending);
        }
        let (ready, waiting) = order.ready(waiting);
        assert_eq!((ready[0].row.number, waiting.len()), (2, 1));
        for pending in ready.into_iter().chain(waiting) {
            order.settle(pending);
        }
        assert!(order.uses.lock().is_empty());
    }
}
