//! Turns Nagle's algorithm off on connections that sqlx has opened.
//!
//! sqlx 0.9 does not set `TCP_NODELAY`, and takes no socket from outside. A statement longer than
//! one TLS record then waits for the server's delayed acknowledgement, 40 ms each time. Creates
//! over TLS took five times as long as without TLS. So this finds the sockets among the process's
//! own descriptors. It also finds other TCP connections of aka, which need the option as well.

/// Sets `TCP_NODELAY` on all TCP sockets of this process. If the system does not allow it (not
/// Linux, an old kernel, a strict sandbox), connections are slower but work. The first refusal is
/// logged, with what to do.
pub(super) fn set_on_all_sockets() {
    #[cfg(target_os = "linux")]
    if let Err(error) = linux::set_on_all_sockets() {
        static SAID: std::sync::Once = std::sync::Once::new();
        SAID.call_once(|| {
            tracing::warn!(
                %error,
                "TCP_NODELAY cannot be set on the connections to the databases, so long \
                 statements are slower: allow the system calls pidfd_open and pidfd_getfd in the \
                 container's seccomp profile"
            );
        });
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use crate::hooks;
    use rustix::net::sockopt::set_tcp_nodelay;
    use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
    use std::os::fd::{OwnedFd, RawFd};

    pub fn set_on_all_sockets() -> std::io::Result<()> {
        let process = pidfd_open(getpid(), PidfdFlags::empty())?;
        for entry in std::fs::read_dir("/proc/self/fd")? {
            let number = entry?.file_name().to_str().and_then(|name| name.parse().ok());
            let Some(number) = number else { continue };
            // A duplicate stays valid if another thread closes the descriptor meanwhile. Setting
            // the option fails on what is no TCP socket, which does not matter.
            match duplicate(&process, number) {
                Ok(duplicate) => drop(set_tcp_nodelay(&duplicate, true)),
                Err(rustix::io::Errno::BADF) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn duplicate(process: &OwnedFd, number: RawFd) -> rustix::io::Result<OwnedFd> {
        if hooks::is_refused("pidfd_getfd") {
            return Err(rustix::io::Errno::PERM);
        }
        pidfd_getfd(process, number, PidfdGetfdFlags::empty())
    }
}
