//! Who listens on an address, so that an operator need not search.

use aka_load::Process;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The process that listens there: its name and id. `None` if that cannot be found out: the process
/// belongs to another user, or the system has no `/proc`.
pub(super) fn of(mut address: SocketAddr) -> Option<String> {
    if address.ip().is_unspecified() {
        address.set_ip(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    let Process(id) = Process::listening_on(address)?;
    let name = std::fs::read_to_string(format!("/proc/{id}/comm")).unwrap_or_default();
    Some(format!("{} (process {id})", name.trim_end()))
}
