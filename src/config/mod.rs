//! The configuration: flags over environment over a TOML file, checked whole before it is used.
//! `settings.rs` lists all settings.

mod database;
#[cfg(test)]
mod documented;
mod fault;
mod file;
mod flags;
mod load;
mod paths;
mod secret;
mod settings;
mod table;
mod tls;
mod value;

pub use database::Database;
pub use fault::ConfigFault;
pub use flags::{DatabaseFlags, ServeFlags};
pub use load::Config;
pub use secret::Secret;
