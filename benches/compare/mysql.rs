//! MySQL without aka: a SELECT for each event, by primary key, over a pool of connections.

use crate::Fault;
use crate::keys;
use crate::sample::Sample;
use aka_load::{LoadId, UnseenIds};
use aka_test_support::{DbServer, cpu_time};
use hdrhistogram::Histogram;
use sqlx::mysql::MySqlPoolOptions;
use sqlx::{AssertSqlSafe, MySqlPool};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

const PROJECT: i64 = 1;
const POOL: u32 = 8;
/// Events that are worked on at once. They are more than the connections.
const CALLERS: u16 = 50;
const WARM_UP: Duration = Duration::from_millis(500);

/// A table with as many aliases as aka has.
pub async fn fill(server: &DbServer, aliases: f64) -> Result<MySqlPool, Fault> {
    let database = server.create_database().await;
    let pool =
        MySqlPoolOptions::new().max_connections(POOL).connect(&server.url(&database)).await?;
    let table = "CREATE TABLE alias (project_id BIGINT NOT NULL, alias_id VARBINARY(255) NOT NULL, \
                 canonical_id VARBINARY(255) NOT NULL, PRIMARY KEY (project_id, alias_id))";
    sqlx::query(table).execute(&pool).await?;
    let aliases: Vec<_> = keys::all(aliases).aliases().collect();
    for chunk in aliases.chunks(1_000) {
        let row =
            |&id: &LoadId| format!("({PROJECT}, '{}', '{}')", keys::id(id), keys::canonical(id));
        let rows: Vec<String> = chunk.iter().map(row).collect();
        let insert = format!("INSERT INTO alias VALUES {}", rows.join(", "));
        sqlx::query(AssertSqlSafe(insert)).execute(&pool).await?;
    }
    Ok(pool)
}

struct Times {
    begin: Instant,
    end: Instant,
}

/// Asks for ids that were never seen before. None of them is an alias.
pub async fn run(pool: &MySqlPool, pid: u32, duration: Duration) -> Result<Sample, Fault> {
    let begin = Instant::now() + WARM_UP;
    let end = begin + duration;
    let (run, mut callers) = (rand::random(), JoinSet::new());
    for caller in 0..CALLERS {
        callers.spawn(call(pool.clone(), UnseenIds::new(run, caller), Times { begin, end }));
    }
    tokio::time::sleep_until(begin.into()).await;
    let before = cpu_time(pid)?;
    tokio::time::sleep_until(end.into()).await;
    let spent = cpu_time(pid)?.saturating_sub(before);
    let mut latencies = histogram()?;
    while let Some(caller) = callers.join_next().await {
        latencies.add(caller??)?;
    }
    let us = |quantile| latencies.value_at_quantile(quantile) as f64 / 1e3;
    Ok(Sample {
        ids_per_second: latencies.len() as f64 / duration.as_secs_f64(),
        cpu_us: spent.as_secs_f64() * 1e6 / latencies.len().max(1) as f64,
        p50_us: us(0.5),
        p99_us: us(0.99),
    })
}

async fn call(pool: MySqlPool, mut ids: UnseenIds, times: Times) -> Result<Histogram<u64>, Fault> {
    let mut latencies = histogram()?;
    loop {
        let sent = Instant::now();
        if sent >= times.end {
            break;
        }
        let id = ids.next_id().id();
        let select = "SELECT canonical_id FROM alias WHERE project_id = ? AND alias_id = ?";
        let found: Option<Vec<u8>> =
            sqlx::query_scalar(select).bind(PROJECT).bind(&id[..]).fetch_optional(&pool).await?;
        if found.is_some() {
            return Err(format!("{} is an alias", String::from_utf8_lossy(&id)).into());
        }
        let now = Instant::now();
        if (times.begin..=times.end).contains(&now) {
            latencies.saturating_record(u64::try_from((now - sent).as_nanos())?);
        }
    }
    Ok(latencies)
}

fn histogram() -> Result<Histogram<u64>, Fault> {
    Ok(Histogram::new_with_bounds(1_000, 60_000_000_000, 3)?)
}
