//! The settings of TLS on one port.

use std::path::PathBuf;

/// Whether clients show a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientAuth {
    /// They are not asked for one.
    None,
    /// They may show one. One that is shown must be good.
    Optional,
    /// They must show one.
    Required,
}

/// The oldest version of TLS that is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, serde::Deserialize)]
pub enum TlsVersion {
    #[value(name = "1.2")]
    #[serde(rename = "1.2")]
    V1_2,
    #[value(name = "1.3")]
    #[serde(rename = "1.3")]
    V1_3,
}

/// How one port speaks TLS.
#[derive(Clone, Debug)]
pub struct TlsSettings {
    /// The file with the port's certificate, and with those of the authorities between it and a root.
    pub cert: PathBuf,
    /// The file with the certificate's private key.
    pub key: PathBuf,
    /// The file with the authorities of client certificates. It is there if clients are asked for one.
    pub client_ca: Option<PathBuf>,
    pub client_auth: ClientAuth,
    pub min_version: TlsVersion,
}
