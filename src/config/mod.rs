//! The configuration: flags over environment over a TOML file, checked whole before it is used.

mod check;
mod layer;
mod print;

pub use check::{Config, ConfigFault, Database};
pub use layer::{DatabaseFlags, Kind, ServeFlags};
