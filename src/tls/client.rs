//! TLS of the commands that call a server.

use super::fault::TlsFault;
use super::files::{authorities, certificate_file, certificates, key_file, private_key};
use super::port::provider;
use std::path::Path;
use std::sync::Arc;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// How a command speaks TLS. The server is vouched for by the authorities in the file `ca`, or by
/// those of the system. `own` are the files of the command's own certificate and key. `protocol` is
/// spoken within TLS.
///
/// # Errors
/// If a file cannot be used, or if the system has no authorities.
pub fn client_config(
    ca: Option<&Path>,
    own: Option<(&Path, &Path)>,
    protocol: &[u8],
) -> Result<Arc<ClientConfig>, TlsFault> {
    let roots = match ca {
        Some(path) => authorities(path, &certificate_file(path)?)?,
        None => system_authorities()?,
    };
    let wrong =
        |error| TlsFault(format!("the certificate and the private key cannot be used: {error}"));
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(wrong)?
        .with_root_certificates(roots);
    let mut config = match own {
        Some((cert, key)) => {
            let chain = certificates(cert, &certificate_file(cert)?)?;
            let key = private_key(key, &key_file(key)?)?;
            builder.with_client_auth_cert(chain, key).map_err(wrong)?
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![protocol.to_vec()];
    Ok(Arc::new(config))
}

fn system_authorities() -> Result<RootCertStore, TlsFault> {
    let mut roots = RootCertStore::empty();
    // A system's list may hold some that are not understood.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    match roots.is_empty() {
        true => Err(TlsFault("this system names no authorities: name some with --ca".to_owned())),
        false => Ok(roots),
    }
}
