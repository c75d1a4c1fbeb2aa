//! Turns Nagle's algorithm off on connections that sqlx has opened.
//!
//! sqlx 0.9 does not set `TCP_NODELAY`, and takes no socket from outside. A statement longer than
//! one TLS record then waits for the server's delayed acknowledgement, 40 ms each time. Creates
//! over TLS took five times as long as without TLS. So this finds the sockets among the process's
//! own descriptors. It also finds other TCP connections of aka, which need the option as well.

/// Sets `TCP_NODELAY` on all TCP sockets of this process. If the system does not allow it (not
/// Linux, an old kernel, a strict sandbox), connections are slower but work.
pub(super) fn set_on_all_sockets() {
    #[cfg(target_os = "linux")]
    if let Err(error) = linux::set_on_all_sockets() {
        tracing::debug!(%error, "TCP_NODELAY cannot be set on the connections to the databases");
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use rustix::net::sockopt::set_tcp_nodelay;
    use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};

    pub fn set_on_all_sockets() -> std::io::Result<()> {
        let process = pidfd_open(getpid(), PidfdFlags::empty())?;
        for entry in std::fs::read_dir("/proc/self/fd")? {
            let number = entry?.file_name().to_str().and_then(|name| name.parse().ok());
            let Some(number) = number else { continue };
            // A duplicate stays valid if another thread closes the descriptor meanwhile. Setting
            // the option fails on what is no TCP socket, which does not matter.
            match pidfd_getfd(&process, number, PidfdGetfdFlags::empty()) {
                Ok(duplicate) => drop(set_tcp_nodelay(&duplicate, true)),
                Err(rustix::io::Errno::BADF) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}
