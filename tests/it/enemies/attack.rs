//! An attack: what each of some connections sends, over and over, and whether it reads.

use aka_test_support::http2::{PREFACE, SETTINGS};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// How many connections attack at once. The server has as many threads as the machine has cores.
const CONNECTIONS: usize = 4;

/// The most bytes that a connection sends at once, and the pause after them: 250 KB/s. An enemy that
/// sends as fast as it can would use up the cores of this machine itself.
const AT_ONCE: usize = 4 << 10;
const PAUSE: Duration = Duration::from_millis(16);

/// What one connection sends.
pub struct Attack {
    pub name: &'static str,
    /// After the preface.
    pub opening: Vec<u8>,
    /// The bytes of each round. The rounds of a connection are numbered from 0.
    pub round: fn(u32) -> Vec<u8>,
    /// Whether it reads what it is sent.
    pub reads: bool,
    /// Why the server must close it, as the metric says. `None`: it need not.
    pub closed: Option<&'static str>,
}

impl Attack {
    /// One that reads, and that the server closes as a flood.
    pub fn flood(name: &'static str, opening: Vec<u8>, round: fn(u32) -> Vec<u8>) -> Self {
        Self { name, opening, round, reads: true, closed: Some("too_many_frames") }
    }

    /// One that the server may bear or close.
    pub fn borne(name: &'static str, opening: Vec<u8>, round: fn(u32) -> Vec<u8>) -> Self {
        Self { name, opening, round, reads: true, closed: None }
    }

    /// Begins the attack.
    pub fn begin(self: &Arc<Self>, server: SocketAddr) -> RunningAttack {
        let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let threads = (0..CONNECTIONS).map(|_| {
            let (attack, stop, sent) = (self.clone(), stop.clone(), sent.clone());
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    attack.connection(server, &stop, &sent);
                    // Without a pause, the machine runs out of ports.
                    std::thread::sleep(Duration::from_millis(5));
                }
            })
        });
        RunningAttack { stop: stop.clone(), threads: threads.collect(), sent: sent.clone() }
    }

    /// Attacks until the server ends the connection.
    fn connection(&self, server: SocketAddr, stop: &Arc<AtomicBool>, sent: &AtomicU64) {
        let Ok(mut stream) = TcpStream::connect(server) else { return };
        // A server that reads no more must not keep the thread from its end.
        stream.set_write_timeout(Some(Duration::from_millis(100))).expect("a time-out");
        let reader = self.reads.then(|| drain(&stream));
        let mut unsent = [PREFACE, SETTINGS, &self.opening].concat();
        let mut round = 0;
        while !stop.load(Ordering::Relaxed) {
            match stream.write(&unsent[..unsent.len().min(AT_ONCE)]) {
                Ok(written) => {
                    sent.fetch_add(written as u64, Ordering::Relaxed);
                    unsent.drain(..written);
                    std::thread::sleep(PAUSE);
                }
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(_) => break,
            }
            while unsent.len() < AT_ONCE {
                let next = (self.round)(round);
                round += 1;
                if next.is_empty() {
                    break;
                }
                unsent.extend(next);
            }
            if unsent.is_empty() {
                // It has sent all that it wants to, and stays.
                std::thread::sleep(PAUSE);
            }
        }
        let _ = stream.shutdown(Shutdown::Both);
        if let Some(reader) = reader {
            reader.join().expect("it only reads");
        }
    }
}

/// Reads and forgets.
fn drain(stream: &TcpStream) -> JoinHandle<()> {
    let mut stream = stream.try_clone().expect("a descriptor");
    std::thread::spawn(move || {
        let mut buffer = vec![0; 64 << 10];
        while stream.read(&mut buffer).is_ok_and(|read| read > 0) {}
    })
}

/// An attack that lasts until it is stopped.
pub struct RunningAttack {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    sent: Arc<AtomicU64>,
}

impl RunningAttack {
    /// How many bytes the server has been sent, or its kernel at least.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Ends it.
    pub fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().expect("an attacker does not panic");
        }
    }
}
