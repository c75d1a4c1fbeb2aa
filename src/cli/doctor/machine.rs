//! What this machine has: descriptors, folders and their space, certificates, the password's file.

use super::diagnosis::Diagnosis;
use crate::config::{Config, Database, Secret};
use crate::server::{hard_limit, reserved};
use crate::tls::PortTls;
use rustix::fs::{Access, access, statvfs};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A folder with less than this, in bytes, is about to be full.
const LEAST_SPACE: u64 = 64 << 20;
/// Below this, in bytes, somebody should make room.
const GOOD_SPACE: u64 = 1 << 30;

/// As long as the alert on certificates looks ahead.
const SOON: Duration = Duration::from_secs(14 * 86_400);

/// The checks of what `aka serve` uses beside its databases.
pub(super) fn of_service(config: &Config) -> Vec<Diagnosis> {
    let mut checks = vec![descriptors(config), exposure(config)];
    let ports = [
        ("certificate of gRPC", &config.tls.grpc),
        ("certificate of the operations port", &config.tls.metrics),
    ];
    checks.extend(ports.iter().filter_map(|(what, tls)| Some(certificate(what, tls.as_ref()?))));
    if let Some(path) = &config.cluster.shard.filter_dir
        && !is_folder_of(&config.database, path)
    {
        checks.extend(folder("filter_dir", path));
    }
    if let Some(path) = config.handover.as_deref().and_then(Path::parent) {
        checks.extend(folder("folder of handover", path));
    }
    checks
}

fn is_folder_of(database: &Database, path: &Path) -> bool {
    matches!(database, Database::Sqlite(file) if folder_of(file) == path)
}

fn folder_of(file: &Path) -> &Path {
    match file.parent() {
        // A mere file name has an empty path as its folder.
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

fn descriptors(config: &Config) -> Diagnosis {
    const WHAT: &str = "file descriptors";
    let (shards, sqlite) = match &config.database {
        Database::Sqlite(_) => (1, true),
        Database::MySql { shards, .. } => (shards.len(), false),
    };
    let limit = hard_limit();
    let needed = config.max_connections + reserved(shards, sqlite, &config.cluster.shard);
    match needed <= limit {
        true => Diagnosis::ok(WHAT, format!("{needed} needed, {limit} allowed")),
        false => Diagnosis::warn(
            WHAT,
            format!("{needed} needed, {limit} allowed: fewer connections are accepted"),
            "raise the hard limit (LimitNOFILE= in a unit, ulimit -Hn in a shell), or lower \
             --max-connections",
        ),
    }
}

fn exposure(config: &Config) -> Diagnosis {
    const WHAT: &str = "gRPC port";
    let address = config.listen;
    match (&config.tls.grpc, address.ip().to_canonical().is_loopback()) {
        (Some(_), _) => Diagnosis::ok(WHAT, format!("{address}, with TLS")),
        (None, true) => Diagnosis::ok(WHAT, format!("{address}, this machine alone")),
        (None, false) => Diagnosis::warn(
            WHAT,
            format!("{address}, without TLS: whoever reaches it may change every alias"),
            "name a certificate with --tls-cert and --tls-key; docs/security.md says more",
        ),
    }
}

fn certificate(what: &str, tls: &PortTls) -> Diagnosis {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    // One that has expired is a fault of the configuration.
    let left = tls.expires().saturating_sub(now);
    let found = format!("good for {} more days", left.as_secs() / 86_400);
    match left > SOON {
        true => Diagnosis::ok(what, found),
        false => Diagnosis::warn(
            what,
            found,
            "put a new one in its place; aka serve uses it without a restart",
        ),
    }
}

/// The folder of the SQLite file. It is made if it does not exist, with the folders above it.
pub(super) fn sqlite_folder(file: &Path) -> Vec<Diagnosis> {
    const WHAT: &str = "folder of the SQLite file";
    let path = folder_of(file);
    if path.exists() {
        return folder(WHAT, path);
    }
    let above = path.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("."));
    let above = if above.as_os_str().is_empty() { Path::new(".") } else { above };
    match above.is_dir() && access(above, Access::WRITE_OK | Access::EXEC_OK).is_ok() {
        true => vec![Diagnosis::ok(WHAT, format!("{} is made at the first start", path.display()))],
        false => vec![Diagnosis::problem(
            WHAT,
            format!("{} does not exist, and cannot be made in {}", path.display(), above.display()),
            "make it for the user that runs aka, or name another file with --sqlite",
        )],
    }
}

/// Whether a folder is there, may be written to by this user alone, and has room.
fn folder(what: &str, path: &Path) -> Vec<Diagnosis> {
    let shown = path.display();
    let found = match fs::metadata(path) {
        Ok(found) if found.is_dir() => found,
        Ok(_) => {
            let advice = "name a folder";
            return vec![Diagnosis::problem(what, format!("{shown} is no folder"), advice)];
        }
        Err(error) => {
            let advice = "make it for the user that runs aka, or name another one";
            return vec![Diagnosis::problem(what, format!("{shown}: {error}"), advice)];
        }
    };
    // This also finds a file system that is read-only.
    if let Err(error) = access(path, Access::WRITE_OK | Access::EXEC_OK) {
        let advice = "give it to the user that runs aka (chown), or name another one";
        let found = format!("{shown} cannot be written to: {error}");
        return vec![Diagnosis::problem(what, found, advice)];
    }
    vec![mode(what, path, found.mode()), space(what, path)]
}

/// Where others may write, they may replace what aka reads. With the sticky bit they may not.
fn mode(what: &str, path: &Path, mode: u32) -> Diagnosis {
    let found = format!("{}, mode {:03o}", path.display(), mode & 0o7777);
    match mode & 0o022 != 0 && mode & 0o1000 == 0 {
        false => Diagnosis::ok(what, found),
        true => Diagnosis::warn(
            what,
            format!("{found}: others may replace its files"),
            "chmod go-w, because what is in it is believed",
        ),
    }
}

fn space(what: &str, path: &Path) -> Diagnosis {
    let what = format!("{what}, space");
    let free = match statvfs(path) {
        Ok(found) => found.f_bavail.saturating_mul(found.f_frsize),
        Err(error) => {
            let advice = "look at the file system";
            return Diagnosis::warn(what, format!("cannot be seen: {error}"), advice);
        }
    };
    graded_space(what, free)
}

fn graded_space(what: String, free: u64) -> Diagnosis {
    let found = format!("{} MiB free", free >> 20);
    let advice = "make room, or move it to a larger file system";
    match free {
        free if free < LEAST_SPACE => Diagnosis::problem(what, found, advice),
        free if free < GOOD_SPACE => Diagnosis::warn(what, found, advice),
        _ => Diagnosis::ok(what, found),
    }
}

/// Whether others can read the file with the password of the shards. `None`: there is no file.
pub(super) fn password_file(password: &Secret) -> Option<Diagnosis> {
    const WHAT: &str = "shard_password_file";
    let path = password.file()?;
    // It was read a moment ago, or the configuration has a fault.
    let mode = fs::metadata(path).ok()?.mode() & 0o777;
    let found = format!("{}, mode {mode:03o}", path.display());
    Some(match mode & 0o007 {
        0 => Diagnosis::ok(WHAT, found),
        _ => Diagnosis::warn(
            WHAT,
            format!("{found}: every user of this machine can read it"),
            "chmod o-rwx, and give it to the user that runs aka",
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::super::diagnosis::Grade;
    use super::*;

    #[test]
    fn space_that_is_left() {
        for (mib, grade) in [(0, Grade::Problem), (64, Grade::Warn), (1_024, Grade::Ok)] {
            assert_eq!(graded_space("s".to_owned(), mib << 20).grade, grade, "{mib} MiB");
        }
    }

    #[test]
    fn modes_of_folders() {
        for (mode, grade) in [
            (0o40_755, Grade::Ok),
            (0o40_700, Grade::Ok),
            (0o40_775, Grade::Warn),
            (0o40_777, Grade::Warn),
            // As /tmp has.
            (0o41_777, Grade::Ok),
        ] {
            assert_eq!(super::mode("m", Path::new("/a"), mode).grade, grade, "{mode:o}");
        }
    }
}
