//! TLS on both ports, and in the commands that call a server.
//!
//! A port has a [`PortTls`]: its settings, and what its files held when they were last good.
//! `crate::reload` reads the files again. The commands make a [`ClientConfig`] with
//! [`client_config`].
//!
//! Invariants: a private key is never logged and never shown; a file that cannot be used changes
//! nothing; the provider of the cryptography is named here, not installed for the process.
//!
//! [`ClientConfig`]: tokio_rustls::rustls::ClientConfig

mod client;
mod fault;
mod files;
mod handshake;
mod handshake_places;
mod peer;
mod port;
mod ports;
mod settings;

pub use client::client_config;
pub use fault::TlsFault;
pub use peer::TlsPeer;
pub use port::PortTls;
pub use ports::TlsPorts;
pub use settings::{ClientAuth, TlsSettings, TlsVersion};
