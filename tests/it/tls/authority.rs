//! Certificate authorities of the tests, and folders with what they issue.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType,
    date_time_ymd,
};
use std::fs::{self, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use tempfile::TempDir;

/// When all certificates expire that are not said to have expired: the first of January 2090, in
/// seconds since 1970.
pub const EXPIRY: f64 = 3_786_912_000.0;

/// An authority with a key of its own.
pub struct Authority {
    pub pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its private key, in PEM.
#[derive(Clone)]
pub struct Issued {
    pub cert: String,
    pub key: String,
}

impl Authority {
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let mut params = CertificateParams::default();
        // Each has a name of its own: by the name an authority is found.
        params.distinguished_name.push(DnType::CommonName, format!("authority {number}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// A certificate of a server on this machine.
    pub fn server(&self) -> Issued {
        self.issue(&["localhost", "127.0.0.1"], None, 2090)
    }

    /// The same, but it has expired.
    pub fn expired_server(&self) -> Issued {
        self.issue(&["localhost", "127.0.0.1"], None, 2020)
    }

    /// A certificate of a client, with this URI as its name.
    pub fn client(&self, uri: &str) -> Issued {
        self.issue(&["worker.internal"], Some(uri), 2090)
    }

    fn issue(&self, names: &[&str], uri: Option<&str>, last_year: i32) -> Issued {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).expect("names");
        params.distinguished_name.push(DnType::CommonName, "spiffe://aka/common-name");
        let uri = uri.map(|uri| SanType::URI(uri.try_into().expect("ASCII")));
        params.subject_alt_names.extend(uri);
        params.not_before = date_time_ymd(2019, 1, 1);
        params.not_after = date_time_ymd(last_year, 1, 1);
        let key = KeyPair::generate().expect("a key");
        let cert = params.signed_by(&key, &self.issuer).expect("a certificate");
        Issued { cert: cert.pem(), key: key.serialize_pem() }
    }
}

/// A folder with the files of a server or a client. As in Kubernetes, the files are behind a link to
/// a folder, so that all of them change at one moment.
pub struct KeyFolder {
    folder: TempDir,
    versions: std::cell::Cell<u32>,
}

impl KeyFolder {
    /// A folder with the files `cert` and `key`, and `ca` with the authorities of the other side.
    pub fn new(issued: &Issued, ca: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let files = Self { folder, versions: 0.into() };
        files.replace(issued, ca);
        files
    }

    /// The path of a file, which stays the same when the files are replaced.
    pub fn path(&self, name: &str) -> String {
        let path = self.folder.path().join("now").join(name);
        path.to_str().expect("UTF-8").to_owned()
    }

    /// Replaces all files at one moment.
    pub fn replace(&self, issued: &Issued, ca: &str) {
        self.replace_with_mode(issued, ca, 0o600);
    }

    /// The same with a private key of this mode.
    pub fn replace_with_mode(&self, issued: &Issued, ca: &str, mode: u32) {
        let version = self.versions.get();
        self.versions.set(version + 1);
        let folder = self.folder.path().join(version.to_string());
        fs::create_dir(&folder).expect("a new folder");
        fs::write(folder.join("cert"), &issued.cert).expect("it can be written");
        fs::write(folder.join("ca"), ca).expect("it can be written");
        write_key(&folder.join("key"), &issued.key, mode);
        let link = self.folder.path().join("next");
        symlink(&folder, &link).expect("a link can be made");
        fs::rename(&link, self.folder.path().join("now")).expect("it can be renamed");
    }
}

fn write_key(path: &PathBuf, key: &str, mode: u32) {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = file.expect("a new file");
    file.write_all(key.as_bytes()).expect("it can be written");
    // The mode of a new file is cut down by the umask.
    file.set_permissions(Permissions::from_mode(mode)).expect("its owner may");
}
