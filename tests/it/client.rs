//! The client crate against real servers. Its limits are tested against a server of the tests, in
//! `clients/rust/tests/limits`.

use aka_client::{Client, ClientOptions, Resolved};
use aka_test_support::Aka;
use std::time::Duration;

mod answers;
mod kills;
mod sessions;
mod tls;

/// A client that is patient: these tests are not about time.
fn options<'a>(servers: impl IntoIterator<Item = &'a Aka>) -> ClientOptions {
    let urls = servers.into_iter().map(|server| format!("http://{}", server.grpc));
    ClientOptions { timeout: Duration::from_secs(30), ..ClientOptions::to(urls) }
}

async fn connect(options: ClientOptions) -> Client {
    Client::connect(options).await.expect("the options are good")
}

fn alias_of(canonical: &str) -> Resolved {
    Resolved { canonical: canonical.to_owned().into(), is_alias: true, degraded: false }
}

fn no_alias(id: impl Into<Vec<u8>>) -> Resolved {
    Resolved { canonical: id.into().into(), is_alias: false, degraded: false }
}
