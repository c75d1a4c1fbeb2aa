//! The limits and promises of the client, against a server that answers as the test says.
//!
//! Real servers are in `tests/it/client`.

mod answers;
mod batches;
mod endpoints;
mod example;
mod fake;
mod headers;
mod kills;
mod retries;

use aka_client::{Client, ClientOptions, Resolved};
use fake::Fake;
use std::time::Duration;

/// Longer than anything takes that goes well, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

const PROJECT: u64 = 7;

/// Options for tests that are not about time.
fn options<'a>(servers: impl IntoIterator<Item = &'a Fake>) -> ClientOptions {
    let urls = servers.into_iter().map(|server| format!("http://{}", server.address));
    let (timeout, connect_timeout) = (PATIENCE, PATIENCE);
    ClientOptions { timeout, connect_timeout, ..ClientOptions::to(urls) }
}

async fn connect(options: ClientOptions) -> Client {
    Client::connect(options).await.expect("the options are good")
}

/// The answer of a [`Fake`].
fn right(id: &str) -> Resolved {
    let is_alias = id.starts_with('a');
    let canonical = if is_alias { format!("canonical-{id}") } else { id.to_owned() };
    Resolved { canonical: canonical.into(), is_alias, degraded: false }
}

/// Ids of which every second one is an alias.
fn id(n: usize) -> String {
    format!("{}{n}", if n.is_multiple_of(2) { "a" } else { "n" })
}

/// Waits for a condition that will come true.
async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, waiting).await.is_ok(), "{what}: not in time");
}
