//! The folders that the database servers of the tests keep their data in.

use crate::program::aka_program;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The folder of this process for its servers. The first call makes it, and removes the folders of
/// processes that have ended. Each process leaves one behind, because statics such as the shared
/// servers are not dropped.
pub(crate) fn process_folder() -> &'static Path {
    /// The folder, and a lock that is held while its process lives.
    static FOLDER: OnceLock<(PathBuf, File)> = OnceLock::new();
    let make = || -> io::Result<(PathBuf, File)> {
        // `target/tmp`, beside the folder of the profile that the program is in.
        let target = aka_program().ancestors().nth(2).expect("it is in the target folder");
        let parent = target.join("tmp/servers");
        fs::create_dir_all(&parent)?;
        // The servers report their data folder without symbolic links.
        let parent = parent.canonicalize()?;

        // Held until the new folder has its own lock. Otherwise another process could take the new
        // folder for a stale one.
        let everyone = File::create(parent.join("lock"))?;
        everyone.lock()?;

        for entry in fs::read_dir(&parent)? {
            let path = entry?.path();
            if path.is_dir() && !File::open(path.join("lock")).is_ok_and(|lock| in_use(&lock)) {
                fs::remove_dir_all(&path).ok();
            }
        }

        let folder = (0..)
            .map(|number| parent.join(format!("{}-{number}", std::process::id())))
            .find(|folder| !folder.exists())
            .expect("there is always another number");
        fs::create_dir(&folder)?;
        let alive = File::create(folder.join("lock"))?;
        alive.lock()?;
        Ok((folder, alive))
    };
    let (folder, _) = FOLDER.get_or_init(|| {
        make().unwrap_or_else(|error| panic!("cannot make a folder for test servers: {error}"))
    });
    folder
}

/// Whether a living process holds this lock.
fn in_use(lock: &File) -> bool {
    lock.try_lock().is_err()
}

pub(crate) fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        let kind = entry.file_type()?;
        if kind.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else if kind.is_file() {
            // Sockets, which a killed server leaves behind, are not copied.
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
