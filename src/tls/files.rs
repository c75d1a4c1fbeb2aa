//! Reads certificates and private keys, in PEM.

use super::fault::TlsFault;
use rustix::process::geteuid;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// The longest file in bytes: several times the list of all public authorities.
const LONGEST: u64 = 4 << 20;

/// The bytes of a file with certificates.
pub(super) fn certificate_file(path: &Path) -> Result<Vec<u8>, TlsFault> {
    File::open(path)
        .and_then(|file| bytes(&file))
        .map_err(|error| unreadable("certificate", path, &error))
}

/// The bytes of a file with a private key. Others must not be able to read it.
pub(super) fn key_file(path: &Path) -> Result<Vec<u8>, TlsFault> {
    let open = || {
        let file = File::open(path)?;
        // Of the file that is open: the path may lead to another one a moment later.
        Ok((file.metadata()?, file))
    };
    let (found, file) = open().map_err(|error| unreadable("private key", path, &error))?;
    check_access(found.uid(), found.mode(), geteuid().as_raw())
        .map_err(|what| TlsFault(format!("the private key {} {what}", path.display())))?;
    bytes(&file).map_err(|error| unreadable("private key", path, &error))
}

/// Who may have access to a private key: this user alone. A key that root owns may be readable by a
/// group too, because only so root can hand it to another user; Kubernetes and systemd do that.
fn check_access(owner: u32, mode: u32, user: u32) -> Result<(), String> {
    let forbidden = match owner {
        owner if owner == user => 0o077,
        0 => 0o037,
        _ => return Err("belongs to another user, who can read it".to_owned()),
    };
    if mode & forbidden == 0 {
        return Ok(());
    }
    let mode = mode & 0o777;
    Err(format!(
        "can be read or changed by others (mode {mode:03o}): make it private, as chmod 600 does"
    ))
}

fn unreadable(what: &str, path: &Path, error: &io::Error) -> TlsFault {
    TlsFault(format!("the {what} {} cannot be read: {error}", path.display()))
}

fn bytes(file: &File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(LONGEST + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 {
        0..=LONGEST => Ok(bytes),
        _ => Err(io::Error::other(format!("it is longer than {} MiB", LONGEST >> 20))),
    }
}

/// The certificates in these bytes of a file, at least one.
pub(super) fn certificates(
    path: &Path,
    pem: &[u8],
) -> Result<Vec<CertificateDer<'static>>, TlsFault> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(TlsFault(format!("{} holds no certificates in PEM", path.display()))),
    }
}

/// The private key in these bytes of a file. The parser's error is not shown, because it may quote
/// the file.
pub(super) fn private_key(path: &Path, pem: &[u8]) -> Result<PrivateKeyDer<'static>, TlsFault> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|_| {
        TlsFault(format!(
            "{} holds no private key in PEM, or an encrypted one, which cannot be used",
            path.display()
        ))
    })
}

/// The authorities in these bytes of a file.
pub(super) fn authorities(path: &Path, pem: &[u8]) -> Result<RootCertStore, TlsFault> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path, pem)? {
        roots.add(certificate).map_err(|error| {
            TlsFault(format!("{} holds a certificate that cannot be used: {error}", path.display()))
        })?;
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_private() {
        for (owner, mode, good) in [
            (7, 0o100_600, true),
            (7, 0o100_400, true),
            (7, 0o100_640, false),
            (7, 0o100_604, false),
            (7, 0o100_620, false),
            // Root's, for a group: Kubernetes and systemd hand a key to a service so.
            (0, 0o100_440, true),
            (0, 0o100_640, true),
            (0, 0o100_660, false),
            (0, 0o100_444, false),
            (8, 0o100_400, false),
        ] {
            assert_eq!(check_access(owner, mode, 7).is_ok(), good, "{owner} {mode:o}");
        }
        assert!(check_access(0, 0o100_440, 0).is_err(), "root needs no group");
    }
}
