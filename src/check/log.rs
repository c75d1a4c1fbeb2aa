//! Checks that the change log has no gaps, ends at the position of the clock row, and says the same as
//! the rows.

use super::history::History;
use super::problem::{Findings, Problem};
use super::shards::ShardSessions;
use crate::store::StoreError;
use aka_core::domain::Position;

/// Lines of the log that one query reads.
const PAGE: u32 = 5_000;

pub(super) async fn check_log(
    shards: &mut ShardSessions,
    shard: usize,
    history: &mut History,
    report: &mut Findings,
) -> Result<(), StoreError> {
    let mut last = None;
    loop {
        let from = last.map_or(0, |at: Position| at.seq + 1);
        let page = shards.session(shard).read_log(from, PAGE).await?;
        for change in &page.changes {
            // The oldest lines may have been pruned. After the first line that is left, none may be
            // missing.
            if let Some(last) = last.filter(|last| last.seq + 1 < change.at.seq) {
                // The log may have been pruned since the last page. Then the line before is gone
                // too.
                let before = shards.session(shard).read_log(last.seq, 1).await?;
                if before.changes.first().is_some_and(|line| line.at == last) {
                    let (from, to) = (last.seq + 1, change.at.seq - 1);
                    report.problems.push(Problem::LogGap { shard, from, to });
                }
            }
            last = Some(change.at);
            history.read(shard, change);
        }
        history.doubt(shards, &page.changes).await?;
        report.log_lines += page.changes.len() as u64;
        if page.changes.len() < PAGE as usize {
            // The last page and the clock were read in one snapshot.
            if page.at.seq > 0 && last != Some(page.at) {
                report.problems.push(Problem::LogEnd { shard, clock: page.at.seq });
            }
            return Ok(());
        }
    }
}
