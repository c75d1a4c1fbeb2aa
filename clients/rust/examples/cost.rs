//! Measures the CPU time that the client takes for an id, against a server that runs elsewhere.
//!
//! `cargo run --release -p aka-client --example cost -- http://127.0.0.1:50051 [TASKS]`
//!
//! It prints the time of this process alone, for single calls from as many tasks (512 if not said)
//! and for `resolve_all`.

use aka_client::{Client, ClientOptions};
use rustix::time::{ClockId, clock_gettime};
use std::time::{Duration, Instant};

const IDS: usize = 2_000_000;

fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let server = args.next().ok_or("usage: cost SERVER [TASKS]")?;
    let tasks: usize = args.next().map_or(Ok(512), |tasks| tasks.parse())?;
    let timeout = Duration::from_secs(10);
    let client = Client::connect(ClientOptions { timeout, ..ClientOptions::to([server]) }).await?;
    client.resolve(1, "warm").await?;

    let (began, used, before) = (Instant::now(), cpu(), client.counts());
    let workers: Vec<_> = (0..tasks)
        .map(|task| {
            let client = client.clone();
            tokio::spawn(async move {
                for n in 0..IDS / tasks {
                    client.resolve(1, format!("id-{task}-{n}")).await?;
                }
                Ok::<_, aka_client::ResolveError>(())
            })
        })
        .collect();
    for worker in workers {
        worker.await??;
    }
    let calls = client.counts().calls - before.calls;
    report("resolve", began, used, calls);

    let (began, used, before) = (Instant::now(), cpu(), client.counts());
    for first in (0..IDS).step_by(512) {
        let ids = (first..first + 512).map(|n| format!("id-{n}").into()).collect();
        for answer in client.resolve_all(1, ids, "").await {
            answer?;
        }
    }
    let calls = client.counts().calls - before.calls;
    report("resolve_all", began, used, calls);
    Ok(())
}

fn report(what: &str, began: Instant, used: Duration, calls: u64) {
    let (used, took) = (cpu() - used, began.elapsed());
    let ids = IDS as f64;
    println!(
        "{what}: {:.2} µs of CPU an id, {:.0} ids/s, {:.0} ids a call",
        used.as_secs_f64() * 1e6 / ids,
        ids / took.as_secs_f64(),
        ids / calls as f64,
    );
}
