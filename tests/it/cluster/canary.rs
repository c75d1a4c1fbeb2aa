//! Canaries: they notice when the machine itself was slow. On a busy machine a commit may take
//! seconds, and a process may not run at all for as long. A request that fails because of that is no
//! fault of aka. So a canary writes to each server all the time, past the proxies and past aka, and
//! notes when that was slow.

use super::history::Trouble;
use super::reader::World;
use super::site::SHARDS;
use sqlx::Connection;
use sqlx::mysql::MySqlConnection;
use std::sync::Arc;
use std::time::Duration;

/// The pause between two writes.
const PAUSE: Duration = Duration::from_millis(200);

/// A write that takes longer is slow. Requests have several times as long.
const SLOW: Duration = Duration::from_millis(500);

/// How long the requests that were held up may still be late afterwards.
const AFTERMATH: Duration = Duration::from_secs(2);

/// Watches one server until the world stops. One of the canaries also watches the machine.
pub async fn run(world: Arc<World>, shard: usize) {
    let mut connection = None;
    while !world.stop.is_cancelled() {
        let slept = world.history.now();
        tokio::time::sleep(PAUSE).await;
        if world.history.now() - slept > PAUSE + SLOW {
            note(&world, None, slept);
        }
        let began = world.history.now();
        let written = tokio::time::timeout(SLOW * 4, write(&world, shard, &mut connection)).await;
        if !matches!(written, Ok(Ok(()))) {
            connection = None;
        }
        // A server that is down refuses at once. The fault that ended it is noted already.
        if world.history.now() - began > SLOW {
            note(&world, Some(shard), began);
        }
    }
}

async fn write(
    world: &World,
    shard: usize,
    connection: &mut Option<MySqlConnection>,
) -> Result<(), sqlx::Error> {
    let connection = match connection {
        Some(connection) => connection,
        None => {
            let url = world.site.primary(shard).url("");
            let new = connection.insert(MySqlConnection::connect(&url).await?);
            let table = "CREATE DATABASE IF NOT EXISTS canary; \
                         CREATE TABLE IF NOT EXISTS canary.sings (times BIGINT)";
            sqlx::raw_sql(table).execute(&mut *new).await?;
            new
        }
    };
    sqlx::raw_sql("INSERT INTO canary.sings VALUES (1)").execute(connection).await.map(drop)
}

fn note(world: &World, shard: Option<usize>, from: Duration) {
    let until = world.history.now() + AFTERMATH;
    let what = match shard {
        Some(shard) => format!("the machine held up shard {shard}"),
        None => "the machine held up everything".to_owned(),
    };
    // It excuses requests that need this shard, or any shard.
    let writes = (shard, None);
    world.history.troubled(Trouble { what, shard, instance: None, writes, from, until });
}

/// How often the machine was slow.
pub fn summary(world: &World) -> String {
    let troubles = world.history.troubles();
    let slow = troubles.iter().filter(|trouble| trouble.what.starts_with("the machine"));
    let held_up: Duration = slow.clone().map(|t| t.until - t.from - AFTERMATH).sum();
    let count = slow.count();
    format!("the machine was slow {count} times, for {held_up:.1?} on {SHARDS} servers in all")
}
