//! The change log: no gaps, and its end is the clock's.

use super::Shards;
use super::problem::{Problem, Report};
use crate::store::StoreError;

const PAGE: u32 = 5_000;

pub(super) async fn check_log(
    shards: &mut Shards,
    shard: usize,
    report: &mut Report,
) -> Result<(), StoreError> {
    let mut last = None;
    loop {
        let from = last.map_or(0, |at: aka_core::domain::Position| at.seq + 1);
        let look = shards.session(shard).read_log(from, PAGE).await?;
        for change in &look.changes {
            // The oldest lines may have been pruned; from the first that is there on none may lack.
            if let Some(last) = last.filter(|last| last.seq + 1 < change.at.seq) {
                // Between two looks the log may have been pruned, but then also the line before.
                let before = shards.session(shard).read_log(last.seq, 1).await?;
                if before.changes.first().is_some_and(|line| line.at == last) {
                    let (from, to) = (last.seq + 1, change.at.seq - 1);
                    report.problems.push(Problem::LogGap { shard, from, to });
                }
            }
            last = Some(change.at);
        }
        report.log_lines += look.changes.len() as u64;
        if look.changes.len() < PAGE as usize {
            // The look that ends the log brought the clock of the same moment.
            if look.at.seq > 0 && last != Some(look.at) {
                report.problems.push(Problem::LogEnd { shard, clock: look.at.seq });
            }
            return Ok(());
        }
    }
}
