//! Statements with bound arguments.

use aka_core::domain::Key;

/// How many rows one statement handles, at most. MySQL and SQLite both limit the number of
/// arguments.
pub(super) const ROWS: usize = 512;

/// The columns that an alias's [`Key`] is compared with.
pub(super) const ALIAS_KEY: [&str; 3] = ["slot", "project_id", "alias_id"];
/// The columns that a canonical id's [`Key`] is compared with.
pub(super) const CANONICAL_KEY: [&str; 3] = ["slot", "project_id", "canonical_id"];

/// Arguments of a statement.
pub(in crate::store) trait SqlArgs: Default + Send {
    fn add_int(&mut self, value: i64);
    fn add_bytes(&mut self, value: &[u8]);
}

/// A statement with its arguments.
pub(in crate::store) struct Query<A> {
    pub sql: String,
    pub args: A,
}

impl<A: SqlArgs> Query<A> {
    pub fn new(sql: impl Into<String>) -> Self {
        Self { sql: sql.into(), args: A::default() }
    }

    /// Binds a number. All numbers of aka are below 2^63, because they come from a column or were
    /// drawn so. Another one becomes the greatest, which no row has.
    pub fn int(mut self, value: impl TryInto<i64>) -> Self {
        self.args.add_int(value.try_into().unwrap_or(i64::MAX));
        self
    }

    pub fn bytes(mut self, value: &[u8]) -> Self {
        self.args.add_bytes(value);
        self
    }

    /// Binds slot, project and id.
    pub fn key(self, key: &Key) -> Self {
        self.int(key.slot().get()).int(key.project().get()).bytes(key.id().as_bytes())
    }

    /// Binds the keys of a list that was written for [`padded`] keys.
    pub fn padded_keys(self, keys: &[Key]) -> Self {
        padded(keys).fold(self, Self::key)
    }
}

/// The keys, with the last one repeated up to the next [`statement_size`].
pub(super) fn padded(keys: &[Key]) -> impl Iterator<Item = &Key> + Clone {
    let last = keys.last();
    let missing = statement_size(keys.len()) - keys.len();
    keys.iter().chain(last.into_iter().cycle().take(missing))
}

/// For how many keys a statement is prepared that asks for `count`. There are four sizes from one
/// power of two to the next. So a connection prepares few statements, and not one for each number
/// of keys, and few keys are asked for twice: MySQL takes 10 µs for each.
fn statement_size(count: usize) -> usize {
    count.next_multiple_of((count.next_power_of_two() / 8).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_statements_serve_all_counts_and_waste_little() {
        let mut sizes: Vec<_> = (1..=ROWS).map(statement_size).collect();
        for (count, &size) in (1..).zip(&sizes) {
            assert!((count..=count + count / 4).contains(&size), "{count} in {size}");
            assert_eq!(statement_size(size), size);
        }
        sizes.dedup();
        assert_eq!(sizes.len(), 32);
        assert_eq!((statement_size(0), statement_size(ROWS)), (0, ROWS));
    }
}
