//! Redis: GET and MGET, in its own protocol.

use crate::Fault;
use crate::keys;
use crate::load::{Protocol, starts};
use crate::process::Server;
use aka_load::LoadId;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

/// Each share of aliases has a database of its own.
#[derive(Clone, Copy)]
pub struct Redis {
    pub database: u32,
    pub aliases: f64,
}

pub fn start(folder: &str) -> Result<Server, Fault> {
    Server::on_a_port("redis-server", |port| {
        let port = port.to_string();
        // Redis as a cache, which writes nothing to disk.
        [
            "--bind",
            "127.0.0.1",
            "--port",
            &port,
            "--save",
            "",
            "--appendonly",
            "no",
            "--dir",
            folder,
        ]
        .map(str::to_owned)
        .to_vec()
    })
}

/// Sets the aliases, a thousand with each message.
pub fn fill(server: &Server, redis: Redis) -> Result<(), Fault> {
    let mut stream = TcpStream::connect(server.address)?;
    let mut answers = BufReader::new(stream.try_clone()?);
    let mut ask = |message: Vec<u8>| -> Result<(), Fault> {
        stream.write_all(&message)?;
        let mut line = String::new();
        answers.read_line(&mut line)?;
        if line == "+OK\r\n" { Ok(()) } else { Err(format!("Redis said {line:?}").into()) }
    };
    ask(format!("SELECT {}\r\n", redis.database).into_bytes())?;
    let aliases: Vec<_> = keys::all(redis.aliases).aliases().collect();
    for chunk in aliases.chunks(1_000) {
        let mut message = format!("*{}\r\n$4\r\nMSET\r\n", 1 + 2 * chunk.len());
        for &id in chunk {
            let (id, canonical) = (keys::id(id), keys::canonical(id));
            message.push_str(&format!("$22\r\n{id}\r\n$21\r\n{canonical}\r\n"));
        }
        ask(message.into_bytes())?;
    }
    Ok(())
}

impl Protocol for Redis {
    fn greeting(self) -> Option<String> {
        Some(format!("SELECT {}\r\n", self.database))
    }

    fn request(self, ids: &[LoadId], out: &mut Vec<u8>) {
        match ids {
            [_] => out.extend_from_slice(b"*2\r\n$3\r\nGET\r\n"),
            _ => out.extend_from_slice(format!("*{}\r\n$4\r\nMGET\r\n", 1 + ids.len()).as_bytes()),
        }
        for id in ids {
            out.extend_from_slice(b"$22\r\n");
            out.extend_from_slice(&id.id());
            out.extend_from_slice(b"\r\n");
        }
    }

    fn answer(self, ids: &[LoadId], unread: &[u8]) -> Result<Option<usize>, Fault> {
        let set = keys::all(self.aliases);
        let mut meant = Vec::with_capacity(unread.len().max(64));
        if ids.len() > 1 {
            meant.extend_from_slice(format!("*{}\r\n", ids.len()).as_bytes());
        }
        for id in ids {
            if set.is_alias(*id) {
                meant.extend_from_slice(b"$21\r\n");
                meant.extend_from_slice(&id.canonical());
                meant.extend_from_slice(b"\r\n");
            } else {
                meant.extend_from_slice(b"$-1\r\n");
            }
            // Enough to know that more must come.
            if meant.len() > unread.len() {
                break;
            }
        }
        Ok(starts(unread, &meant)?.map(|()| meant.len()))
    }
}
