//! All the servers of the comparison, filled alike, and what is measured of them.

use crate::Fault;
use crate::keys;
use crate::load::{self, Shape};
use crate::memcached::{self, Memcached};
use crate::mysql;
use crate::process::Server;
use crate::redis::{self, Redis};
use crate::sample::Sample;
use crate::service::Load;
use aka_test_support::{DbServer, Engine, aka_program, shared_server};
use sqlx::MySqlPool;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// Shares of aliases: most ids of a pipeline are none; half is the other end.
const FEW: f64 = 0.1;
const HALF: f64 = 0.5;

/// `aka bench` for batches, streams and single calls. Redis and memcached are asked in the same
/// shapes.
const UNARY_8X50: &str = "--connections 8 --concurrency 50";
const UNARY_50X1: &str = "--connections 50 --concurrency 1";
const BATCH: &str = "--connections 16 --concurrency 1 --mode batch --batch";
const STREAM: &str = "--connections 16 --concurrency 1 --mode stream --batch";
const ONE_BY_ONE: Shape = Shape { connections: 50, batch: 1 };
const HUNDREDS: Shape = Shape { connections: 16, batch: 100 };
const FIVE_TWELVES: Shape = Shape { connections: 16, batch: 512 };

pub struct World<'a> {
    runtime: &'a Runtime,
    mysql_pid: u32,
    select: MySqlPool,
    aka: Server,
    /// Over the same database: every cold id is asked for.
    unfiltered: Server,
    /// The two shapes, each for few aliases and for half of the ids.
    echo_shared: [Server; 2],
    echo_split: [Server; 2],
    redis: Server,
    memcached: Server,
    /// Removed last.
    _folder: TempDir,
}

/// Something that can be measured once more.
pub struct Measurement<'a> {
    pub name: &'static str,
    pub run: Box<dyn Fn(Duration) -> Result<Sample, Fault> + 'a>,
}

impl<'a> World<'a> {
    pub fn start(runtime: &'a Runtime) -> Result<Self, Fault> {
        let folder = tempfile::tempdir()?;
        let mysql = shared_server(Engine::MySql);
        // The test servers are kept small; a redo log of 8 MB would be what is measured.
        runtime.block_on(mysql.execute("SET GLOBAL innodb_redo_log_capacity = 1073741824"));
        let select = runtime.block_on(mysql::fill(mysql, HALF))?;
        let echo = |shape: &str, every: u32| {
            let mut command = Command::new(std::env::current_exe()?);
            command.args(["echo", shape, &every.to_string()]);
            Server::that_says(command)
        };
        let [aka, unfiltered] = start_aka(runtime, mysql)?;
        let world = Self {
            runtime,
            mysql_pid: mysql.pid().ok_or("MySQL is not running")?,
            select,
            aka,
            unfiltered,
            echo_shared: [echo("shared", 10)?, echo("shared", 2)?],
            echo_split: [echo("split", 10)?, echo("split", 2)?],
            redis: redis::start(&folder.path().display().to_string())?,
            memcached: memcached::start()?,
            _folder: folder,
        };
        for share in [FEW, HALF] {
            world.aka("", share).prepare()?;
            redis::fill(&world.redis, of_redis(share))?;
        }
        memcached::fill(&world.memcached, Memcached { aliases: HALF })?;
        Ok(world)
    }

    /// All of them, those that are compared with each other side by side.
    pub fn measurements(&self) -> Vec<Measurement<'_>> {
        let mut all = Vec::new();
        let mut add = |name, run| all.push(Measurement { name, run });
        let grpc = |load: Load| -> Run<'_> { Box::new(move |duration| load.closed(duration)) };
        let [shared_few, shared_half] = &self.echo_shared;
        let [split_few, split_half] = &self.echo_split;

        add("aka, unary 8x50", grpc(self.aka(UNARY_8X50, HALF)));
        add("echo shared, unary 8x50", grpc(echo(shared_half, UNARY_8X50)));
        add("echo split, unary 8x50", grpc(echo(split_half, UNARY_8X50)));

        add("aka, unary 50x1", grpc(self.aka(UNARY_50X1, HALF)));
        add("echo shared, unary 50x1", grpc(echo(shared_half, UNARY_50X1)));
        add("echo split, unary 50x1", grpc(echo(split_half, UNARY_50X1)));
        add("Redis, GET 50x1", self.of_redis(ONE_BY_ONE, HALF));
        add("memcached, get 50x1", self.of_memcached(ONE_BY_ONE));

        let hundreds = format!("{BATCH} 100");
        add("aka, batch of 100, 10 % aliases", grpc(self.aka(&hundreds, FEW)));
        add("echo shared, batch of 100, 10 %", grpc(echo(shared_few, &hundreds)));
        add("echo split, batch of 100, 10 %", grpc(echo(split_few, &hundreds)));
        add("Redis, MGET of 100, 10 %", self.of_redis(HUNDREDS, FEW));

        add("aka, batch of 100, 50 % aliases", grpc(self.aka(&hundreds, HALF)));
        add("aka, stream of 100s, 50 %", grpc(self.aka(&format!("{STREAM} 100"), HALF)));
        add("echo shared, batch of 100, 50 %", grpc(echo(shared_half, &hundreds)));
        add("echo split, batch of 100, 50 %", grpc(echo(split_half, &hundreds)));
        add("Redis, MGET of 100, 50 %", self.of_redis(HUNDREDS, HALF));
        add("memcached, get of 100, 50 %", self.of_memcached(HUNDREDS));

        let more = format!("{BATCH} 512");
        add("aka, batch of 512, 50 % aliases", grpc(self.aka(&more, HALF)));
        add("echo split, batch of 512, 50 %", grpc(echo(split_half, &more)));
        add("Redis, MGET of 512, 50 %", self.of_redis(FIVE_TWELVES, HALF));

        let (aka, unfiltered) = (&self.aka, &self.unfiltered);
        add("aka and its MySQL, cold ids, batch of 100", grpc(self.cold(aka, &hundreds)));
        add("aka and its MySQL, cold ids, unary 8x50", grpc(self.cold(aka, UNARY_8X50)));
        let name = "aka without its filter and its MySQL, cold ids, batch of 100";
        add(name, grpc(self.cold(unfiltered, &hundreds)));
        let name = "aka without its filter and its MySQL, cold ids, unary 8x50";
        add(name, grpc(self.cold(unfiltered, UNARY_8X50)));
        let select =
            |duration| self.runtime.block_on(mysql::run(&self.select, self.mysql_pid, duration));
        add("MySQL, one SELECT each, cold ids", Box::new(select));
        all
    }

    /// For the plot: aka, and the echo whose threads are made in this way.
    pub fn unary(&self) -> [(&'static str, Load); 3] {
        [
            ("aka", self.aka(UNARY_8X50, HALF)),
            ("echo shared", echo(&self.echo_shared[1], UNARY_8X50)),
            ("echo split", echo(&self.echo_split[1], UNARY_8X50)),
        ]
    }

    fn aka(&self, flags: &str, aliases: f64) -> Load {
        Self::load_of(&self.aka, flags, aliases)
    }

    fn load_of(aka: &Server, flags: &str, aliases: f64) -> Load {
        // A project for each share.
        let project = (aliases * 100.0) as u32;
        let flags = format!("{flags} {} --project {project} --aliases {aliases}", skewed());
        Load::new(aka.address, &[aka.pid()], &flags)
    }

    fn cold(&self, aka: &Server, flags: &str) -> Load {
        let mut load = Self::load_of(aka, &format!("{flags} --cold 1"), HALF);
        load.pids.push(self.mysql_pid);
        load
    }

    fn of_redis(&self, shape: Shape, aliases: f64) -> Run<'_> {
        let Server { address, .. } = self.redis;
        let (protocol, pid) = (of_redis(aliases), self.redis.pid());
        Box::new(move |duration| load::run(protocol, shape, address, pid, duration))
    }

    fn of_memcached(&self, shape: Shape) -> Run<'_> {
        let Server { address, .. } = self.memcached;
        let (protocol, pid) = (Memcached { aliases: HALF }, self.memcached.pid());
        Box::new(move |duration| load::run(protocol, shape, address, pid, duration))
    }
}

type Run<'a> = Box<dyn Fn(Duration) -> Result<Sample, Fault> + 'a>;

fn echo(server: &Server, flags: &str) -> Load {
    Load::new(
        server.address,
        &[server.pid()],
        &format!("{flags} {} --project 1 --no-check", skewed()),
    )
}

fn skewed() -> String {
    format!("--keys {} --zipf {}", keys::COUNT, keys::ZIPF)
}

fn of_redis(aliases: f64) -> Redis {
    Redis { database: u32::from(aliases == HALF), aliases }
}

/// Two instances of aka over one shard on this MySQL: as it is when nothing else is said, and
/// without its filter.
fn start_aka(runtime: &Runtime, mysql: &DbServer) -> Result<[Server; 2], Fault> {
    let database = runtime.block_on(mysql.create_database());
    let shard = ["--shard".to_owned(), mysql.url(&database)];
    let aka = |command: &str| {
        let mut aka = Command::new(aka_program());
        aka.env_clear().arg(command).args(&shard);
        aka
    };
    let migrated = aka("migrate").output()?;
    if !migrated.status.success() {
        return Err(String::from_utf8_lossy(&migrated.stderr).into_owned().into());
    }
    let serve = |flags: &[&str]| {
        let mut serve = aka("serve");
        serve.args(["--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"]).args(flags);
        Server::that_says(serve)
    };
    Ok([serve(&[])?, serve(&["--filter", "false"])?])
}
