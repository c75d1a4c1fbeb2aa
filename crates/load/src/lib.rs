//! The load generator of `aka bench` and of the comparison (`benches/compare`). It puts load on a
//! server, checks every answer, and measures latency and CPU time.
//!
//! # A tour
//!
//! In the order in which a run uses the parts:
//!
//! 1. A [`LoadPlan`] says how ids are asked for, how fast, and for how long. A [`LoadServer`] says
//!    where.
//! 2. [`ConnectedLoad::connect`] starts the threads of the generator and connects each to the
//!    server. [`ConnectedLoad::run`] then runs the load and returns a [`LoadOutcome`]. Meanwhile
//!    [`LiveCounts`] show the progress.
//! 3. Each thread has its own runtime, its own connections (`connection`, `call`: gRPC over bare
//!    HTTP/2) and its own callers (`callers`). `pace` says when the next call is due.
//! 4. The ids come from `draw`. They are drawn from an [`IdSet`], evenly or by Zipf's law (`zipf`),
//!    or are [unseen](UnseenIds): no run has asked for them before. The right answer for a
//!    [`LoadId`] follows from its number.
//! 5. `request` writes ids into a message. `check` compares each answer with the right one.
//! 6. `tally` counts calls, ids, errors and latencies. [`Process`] reads the CPU time of the
//!    server.
//!
//! # Invariants
//!
//! Latency counts from the time at which a call was due, not from when it was sent. Every loop ends
//! by the clock. The generator knows the wire contract ([`aka_wire`]) and nothing else of the
//! service.

mod call;
mod callers;
mod check;
mod connection;
mod draw;
mod error;
mod ids;
mod outcome;
mod pace;
mod plan;
mod process;
mod request;
mod run;
mod tally;
mod thread;
mod timer;
mod zipf;

pub use check::WrongAnswer;
pub use draw::DrawnIds;
pub use error::LoadError;
pub use ids::{IdSet, LoadId, UnseenIds};
pub use outcome::{CallCounts, CpuCost, Latencies, LoadOutcome, WindowOutcome};
pub use plan::{LoadPlan, LoadServer, LoadTls, Mode};
pub use process::Process;
pub use run::ConnectedLoad;
pub use tally::LiveCounts;
