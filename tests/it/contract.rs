//! The wire contract: every case of `proto/aka/v1`, its code, reason and details, on every backend.

mod batches;
mod invalid;
mod limits;
mod lists;
mod malformed;
mod reads;
mod tokens;
mod wire;
mod writes;
