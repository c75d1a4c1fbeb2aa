//! memcached: get of one key and of many.

use crate::Fault;
use crate::keys;
use crate::load::{Protocol, starts};
use crate::process::Server;
use aka_load::LoadId;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

#[derive(Clone, Copy)]
pub struct Memcached {
    pub aliases: f64,
}

pub fn start() -> Result<Server, Fault> {
    let threads = std::thread::available_parallelism()?.to_string();
    Server::on_a_port("memcached", |port| {
        let port = port.to_string();
        let mut args = vec!["-l", "127.0.0.1", "-p", &port, "-U", "0", "-m", "256", "-t", &threads];
        if rustix::process::geteuid().is_root() {
            args.extend(["-u", "root"]);
        }
        args.into_iter().map(str::to_owned).collect()
    })
}

/// Sets the aliases.
pub fn fill(server: &Server, memcached: Memcached) -> Result<(), Fault> {
    let mut stream = TcpStream::connect(server.address)?;
    let mut answers = BufReader::new(stream.try_clone()?);
    let aliases: Vec<_> = keys::all(memcached.aliases).aliases().collect();
    for chunk in aliases.chunks(500) {
        let set =
            |&id: &LoadId| format!("set {} 0 0 21\r\n{}\r\n", keys::id(id), keys::canonical(id));
        stream.write_all(chunk.iter().map(set).collect::<String>().as_bytes())?;
        for _ in chunk {
            let mut line = String::new();
            answers.read_line(&mut line)?;
            if line != "STORED\r\n" {
                return Err(format!("memcached said {line:?}").into());
            }
        }
    }
    Ok(())
}

impl Protocol for Memcached {
    fn greeting(self) -> Option<String> {
        None
    }

    fn request(self, ids: &[LoadId], out: &mut Vec<u8>) {
        out.extend_from_slice(b"get");
        for id in ids {
            out.push(b' ');
            out.extend_from_slice(&id.id());
        }
        out.extend_from_slice(b"\r\n");
    }

    fn answer(self, ids: &[LoadId], unread: &[u8]) -> Result<Option<usize>, Fault> {
        let set = keys::all(self.aliases);
        let mut meant = Vec::with_capacity(unread.len().max(64));
        for id in ids.iter().filter(|&&id| set.is_alias(id)) {
            meant.extend_from_slice(b"VALUE ");
            meant.extend_from_slice(&id.id());
            meant.extend_from_slice(b" 0 21\r\n");
            meant.extend_from_slice(&id.canonical());
            meant.extend_from_slice(b"\r\n");
            if meant.len() > unread.len() {
                break;
            }
        }
        if meant.len() <= unread.len() {
            meant.extend_from_slice(b"END\r\n");
        }
        Ok(starts(unread, &meant)?.map(|()| meant.len()))
    }
}
