//! Figures of measurements.

use std::time::Duration;

/// The value below which this percentage (0 to 100) of the sorted values lies. There must be a value.
pub fn percentile(sorted: &[Duration], percent: f64) -> Duration {
    let index = (sorted.len() as f64 * percent / 100.0) as usize;
    sorted[index.min(sorted.len() - 1)]
}

/// The median, or `None` of no values.
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() % 2 {
        1 => values.get(middle).copied(),
        _ => Some((values.get(middle.checked_sub(1)?)? + values.get(middle)?) / 2.0),
    }
}
