//! TLS on both ports: who is let in, what is refused, and certificates that change while calls go on.

pub mod authority;
pub mod clients;
mod commands;
mod exposure;
mod handshake;
mod operations;
mod rotation;
mod settings;

use aka_test_support::{Aka, Database, backend};
pub use authority::{Authority, KeyFolder};

/// Starts a server on SQLite with the certificate of this folder and more flags.
async fn start(files: &KeyFolder, flags: &[&str]) -> (Database, Aka) {
    start_with_env(files, flags, &[]).await
}

/// [`start`] with environment variables.
async fn start_with_env(
    files: &KeyFolder,
    flags: &[&str],
    environment: &[(&str, &str)],
) -> (Database, Aka) {
    let database = Database::create(backend::sqlite()).await;
    let (cert, key) = (files.path("cert"), files.path("key"));
    let flags = [&["--tls-cert", &cert, "--tls-key", &key][..], flags].concat();
    let aka = Aka::serve_with_env(&database, &flags, environment).await;
    (database, aka)
}
