//! A step of a pipeline: takes events, and stores each under its canonical id. A test runs it.
//!
//! `cargo run -p aka-client --example pipeline -- http://127.0.0.1:50051 1 device-7f3a somebody`

use aka_client::{Client, ClientOptions, ResolveError};
use std::time::Duration;

/// An event as it came in.
pub struct Event {
    pub distinct_id: String,
}

/// Looks up the ids of all events, and gives each event with its canonical id to `store`.
///
/// # Errors
/// If an id could not be looked up: then the event must wait. It is not stored under a guess.
pub async fn store_all(
    client: &Client,
    project: u64,
    events: Vec<Event>,
    mut store: impl FnMut(&Event, &[u8]),
) -> Result<(), ResolveError> {
    let ids = events.iter().map(|event| event.distinct_id.clone().into()).collect();
    let answers = client.resolve_all(project, ids, "").await;
    for (event, answer) in events.iter().zip(answers) {
        store(event, &answer?.canonical);
    }
    Ok(())
}

#[allow(dead_code, reason = "the test calls store_all")]
#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(server), Some(project)) = (args.next(), args.next()) else {
        return Err("usage: pipeline SERVER PROJECT ID…".into());
    };
    let timeout = Duration::from_secs(5);
    let options = ClientOptions { timeout, ..ClientOptions::to([server]) };
    let client = Client::connect(options).await?;
    let events = args.map(|distinct_id| Event { distinct_id }).collect();
    store_all(&client, project.parse()?, events, |event, canonical| {
        println!("{} is stored under {}", event.distinct_id, String::from_utf8_lossy(canonical));
    })
    .await?;
    client.close().await;
    Ok(())
}
