//! The files of the repository.

use std::fs;
use std::path::Path;
use std::process::Command;

/// A text file of the repository.
pub struct File {
    /// Relative to the root of the repository.
    pub path: String,
    pub text: String,
}

impl File {
    pub fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Whether it is in the `src` of a crate that is built for users. `tests/support` is not.
    pub fn is_program(&self) -> bool {
        self.is_rust() && program_src(&self.path).is_some()
    }
}

/// The `src` folder that a path is in, such as `crates/core/src/`.
pub fn program_src(path: &str) -> Option<&str> {
    for src in ["src/", "clients/rust/src/"] {
        if path.starts_with(src) {
            return path.get(..src.len());
        }
    }
    let crate_name = path.strip_prefix("crates/")?.split('/').next()?;
    let src = path.get(..format!("crates/{crate_name}/src/").len())?;
    src.ends_with("/src/").then_some(src)
}

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub fn exists(path: &str) -> bool {
    root().join(path).exists()
}

pub fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every text file that is tracked by git, and every new one that git does not ignore.
pub fn files() -> Vec<File> {
    let listing = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .expect("git runs");
    assert!(listing.status.success(), "git ls-files: {listing:?}");
    let listing = String::from_utf8(listing.stdout).expect("paths are UTF-8");
    // A file that was removed, or a binary one, has no text.
    let file = |path: &str| Some((path.to_owned(), fs::read_to_string(root().join(path)).ok()?));
    let files = listing.split_terminator('\0').filter_map(file);
    let mut files: Vec<File> = files.map(|(path, text)| File { path, text }).collect();
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files.dedup_by(|a, b| a.path == b.path);
    assert!(files.len() > 100, "git ls-files lists only {} files", files.len());
    files
}

/// Whether `a::b::c` names a module of `tests/it` or a test in one.
pub fn names_front_door_test(name: &str) -> bool {
    is_module_or_function("tests/it", name)
}

/// Whether `a::b::c` is a module below a folder, or a function in one.
pub fn is_module_or_function(folder: &str, name: &str) -> bool {
    let path = format!("{folder}/{}", name.replace("::", "/"));
    if exists(&path) || exists(&format!("{path}.rs")) {
        return true;
    }
    let Some((module, function)) = path.rsplit_once('/') else { return false };
    let module = format!("{module}.rs");
    exists(&module) && read(&module).contains(&format!("fn {function}("))
}
