//! The buckets of latencies.

use super::start_in_use;

/// The upper bounds of the buckets of a histogram, but for the last one, which has none.
fn bounds(metrics: &str, name: &str) -> Vec<f64> {
    let start = format!("{name}_bucket{{");
    let mut bounds = Vec::new();
    for line in metrics.lines().filter(|line| line.starts_with(&start)) {
        let bound = line.split("le=\"").nth(1).and_then(|rest| rest.split('"').next());
        match bound.expect("each bucket has a bound").parse::<f64>() {
            Ok(bound) if bound.is_finite() && !bounds.contains(&bound) => bounds.push(bound),
            _ => {}
        }
    }
    bounds
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn latencies_are_told_apart_up_to_the_time_out() {
    let (_database, aka) = start_in_use().await;
    let metrics = aka.scrape().await;
    for name in [
        "grpc_server_handling_seconds",
        "aka_lookup_query_seconds",
        "aka_write_transaction_seconds",
        "aka_feed_propagation_seconds",
    ] {
        let bounds = bounds(&metrics, name);
        // The default of request_timeout_ms.
        assert_eq!(bounds.last(), Some(&10.0), "{name}: {bounds:?}");
        let between = bounds.iter().filter(|&&bound| bound > 0.001 && bound < 0.005);
        assert!(between.count() >= 3, "{name} tells 1 from 5 ms: {bounds:?}");
        for edge in [0.001, 0.005] {
            assert!(bounds.contains(&edge), "{name}: {bounds:?}");
        }
    }
}
