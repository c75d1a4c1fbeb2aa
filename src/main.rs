//! The `aka` binary: everything is in the library.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(aka::cli::run()),
        Err(error) => {
            eprintln!("aka: cannot start the runtime: {error}");
            ExitCode::FAILURE
        }
    }
}
