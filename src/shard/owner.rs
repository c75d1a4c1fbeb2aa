//! Whose the files of `filter_dir` are.
//!
//! The folder may be one that others can write to too, such as that of the SQLite file. Who wrote
//! such a file could choose the answers that aka gives.

use std::fs::Metadata;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;

/// The rights of all users but the owner and the group. The group is that of a container's volume:
/// Kubernetes gives it rights when it mounts one.
const OTHERS: u32 = 0o007;

/// Checks that a file is this user's, or root's, and closed to others.
///
/// # Errors
/// If it is not. The error says what to do.
pub(super) fn check(file: &Metadata) -> io::Result<()> {
    judge(file.uid(), rustix::process::geteuid().as_raw(), file.mode())
        .map_err(|why| io::Error::new(ErrorKind::PermissionDenied, why))
}

fn judge(owner: u32, user: u32, mode: u32) -> Result<(), &'static str> {
    if owner != user && owner != 0 {
        Err("it belongs to another user; remove it, and use a folder that only aka can write to")
    } else if mode & OTHERS != 0 {
        Err("others may read or change it; remove it, or set its mode to 0600")
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_of_this_user_or_root_are_taken_if_others_have_no_rights() {
        for (owner, user, mode, taken) in [
            (7, 7, 0o100_600, true),
            (0, 7, 0o100_600, true),
            (7, 7, 0o102_660, true),
            (8, 7, 0o100_600, false),
            (7, 0, 0o100_600, false),
            (7, 7, 0o100_604, false),
            (7, 7, 0o100_602, false),
        ] {
            assert_eq!(judge(owner, user, mode).is_ok(), taken, "{owner} {user} {mode:o}");
        }
    }
}
