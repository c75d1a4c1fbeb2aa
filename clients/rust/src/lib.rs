//! The client of aka.
//!
//! [`Client::resolve`] may be called by any number of tasks. The client puts their ids into batches,
//! sends those to the servers that it knows, and answers each caller:
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use aka_client::{Client, ClientOptions};
//!
//! let client = Client::connect(ClientOptions::to(["http://aka-1:50051", "http://aka-2:50051"])).await?;
//! let answer = client.resolve(1, "device-7f3a").await?;
//! println!("stored under {:?}, an alias: {}", answer.canonical, answer.is_alias);
//! client.close().await;
//! # Ok(())
//! # }
//! ```
//!
//! # "Not an alias" and "could not find out"
//!
//! They are different types: [`Resolved`] and [`ResolveError`]. No error holds an id. Whoever wants to
//! go on with the id as it is says so, and it is counted:
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use aka_client::{Client, ClientOptions, ResolveError};
//!
//! // Nobody listens there.
//! let client = Client::connect(ClientOptions::to(["http://127.0.0.1:1"])).await?;
//! let failed = client.resolve(1, "device-7f3a").await;
//! assert!(matches!(failed, Err(ResolveError::Unavailable { .. })));
//!
//! let id = client.resolve(1, "device-7f3a").or_unchanged().await;
//! assert_eq!(id, "device-7f3a");
//! assert_eq!(client.counts().unchanged, 1);
//! # Ok(())
//! # }
//! ```
//!
//! # Reads after writes
//!
//! A [`Session`] keeps the tokens of its writes, so that its reads see them on any server.
//!
//! # What is where
//!
//! | part | does |
//! |---|---|
//! | `queue`, `dispatch` | ids of many callers to batches |
//! | `batch`, `attempt` | one batch: calls, retries, hedges |
//! | `endpoints`, `target`, `probe` | which server is called |
//! | `session`, `marks` | tokens |
//! | `admin` | creates, re-points, deletes and lists aliases |

mod admin;
mod attempt;
mod batch;
mod budget;
mod cache;
mod client;
mod clock;
mod credentials;
mod dispatch;
mod endpoints;
mod error;
mod lookup;
mod marks;
mod observer;
mod options;
mod peer;
mod probe;
mod queue;
mod resolved;
mod session;
mod shared;
mod target;

pub use admin::Admin;
pub use client::Client;
pub use error::{ConnectError, ResolveError};
pub use lookup::Lookup;
pub use observer::{Counts, Notice, Observer};
pub use options::{ClientOptions, WhenFull};
pub use resolved::Resolved;
pub use session::Session;
