//! The CPU time of a process on this machine, from `/proc`.

use std::collections::HashSet;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// A process on this machine, by its process id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process(pub u32);

impl Process {
    /// The process that listens on this loopback address. `None` for any other address, and if the
    /// process is not found or belongs to another user.
    pub fn listening_on(address: SocketAddr) -> Option<Self> {
        if !address.ip().is_loopback() {
            return None;
        }
        let mut sockets = HashSet::new();
        for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
            // The second file is missing where there is no IPv6.
            let table = fs::read_to_string(table).unwrap_or_default();
            sockets.extend(table.lines().filter_map(|line| listener(line, address)));
        }
        let processes = fs::read_dir("/proc").ok()?.filter_map(Result::ok);
        let mut pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.find(|pid| has_one_open(*pid, &sockets)).map(Self)
    }

    /// The CPU time that it has used, in user and in system mode, all threads together. `None` if
    /// it has ended.
    pub fn cpu_time(self) -> Option<Duration> {
        ticks(&fs::read_to_string(format!("/proc/{}/stat", self.0)).ok()?)
    }

    /// The process that calls this.
    pub fn current() -> Self {
        Self(std::process::id())
    }
}

/// The name of the socket if this line of `/proc/net/tcp` is one that listens on `address`.
fn listener(line: &str, address: SocketAddr) -> Option<String> {
    const LISTEN: &str = "0A";
    let mut fields = line.split_ascii_whitespace();
    let (local, state, inode) = (fields.nth(1)?, fields.nth(1)?, fields.nth(5)?);
    let (ip, port) = local.split_once(':')?;
    if state != LISTEN || u16::from_str_radix(port, 16).ok()? != address.port() {
        return None;
    }
    // Each group of four bytes is written as a number in this machine's byte order.
    let any = ip.bytes().all(|digit| digit == b'0');
    let exact = match address.ip() {
        IpAddr::V4(ip4) => {
            let ip4 = u32::from_ne_bytes(ip4.octets());
            u32::from_str_radix(ip.get(ip.len().checked_sub(8)?..)?, 16).ok()? == ip4
        }
        // Of IPv6, the only loopback address is ::1.
        IpAddr::V6(_) => ip.len() == 32 && ip.starts_with(&"0".repeat(24)) && !any,
    };
    (any || exact).then(|| format!("socket:[{inode}]"))
}

/// Whether the process has one of these sockets open.
fn has_one_open(pid: u32, sockets: &HashSet<String>) -> bool {
    // The files of other users' processes cannot be listed.
    let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    let mut targets = files.filter_map(|file| fs::read_link(file.ok()?.path()).ok());
    targets.any(|target| target.to_str().is_some_and(|target| sockets.contains(target)))
}

/// The CPU time in `/proc/PID/stat`: utime + stime.
fn ticks(stat: &str) -> Option<Duration> {
    // The name of the process stands in brackets and may hold anything, brackets too.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    let per_second = rustix::param::clock_ticks_per_second().max(1);
    Some(Duration::from_secs_f64((user + system) as f64 / per_second as f64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn the_process_that_listens_is_found() {
        for ip in ["127.0.0.1:0", "0.0.0.0:0"] {
            let listener = TcpListener::bind(ip).expect("a port is free");
            let port = listener.local_addr().expect("bound").port();
            let address = SocketAddr::from(([127, 0, 0, 1], port));
            assert_eq!(Process::listening_on(address), Some(Process::current()), "{ip}");
        }
        let elsewhere = SocketAddr::from(([192, 0, 2, 1], 50_051));
        assert_eq!(Process::listening_on(elsewhere), None);
    }

    #[test]
    fn lines_of_proc_are_read() {
        let line = "   0: 0100007F:C383 00000000:0000 0A 00000000:00000000 00:00000000 00000000 \
                    0 0 4711 1 0 100 0 0 10 0";
        let address = SocketAddr::from(([127, 0, 0, 1], 0xC383));
        assert_eq!(listener(line, address).as_deref(), Some("socket:[4711]"));
        assert_eq!(listener(line, SocketAddr::from(([127, 0, 0, 2], 0xC383))), None);
        assert_eq!(listener(&line.replace(" 0A ", " 01 "), address), None);
        let stat = "7 (a) b) S 1 1 1 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 3 0 100";
        let per_second = rustix::param::clock_ticks_per_second() as f64;
        assert_eq!(ticks(stat), Some(Duration::from_secs_f64(300.0 / per_second)));
        assert!(Process::current().cpu_time().is_some());
    }
}
