//! Starts all servers of the comparison, fills them alike, and lists what is measured.

use crate::Fault;
use crate::keys;
use crate::load::{self, Shape};
use crate::memcached::{self, Memcached};
use crate::mysql;
use crate::process::Server;
use crate::redis::{self, Redis};
use crate::sample::Sample;
use crate::secured::Secured;
use crate::service::Load;
use aka_load::{LoadPlan, Mode};
use aka_test_support::{DbServer, Engine, aka_program, shared_server};
use sqlx::MySqlPool;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// Shares of aliases. Most ids of a pipeline are not aliases. Half is the other extreme.
const FEW: f64 = 0.1;
const HALF: f64 = 0.5;

/// The shapes of calls to aka and the echo. Redis and memcached are asked in the same shapes.
#[derive(Clone, Copy)]
struct Calls {
    connections: u16,
    concurrency: u16,
    mode: Mode,
}

const UNARY_8X50: Calls = Calls { connections: 8, concurrency: 50, mode: Mode::Unary };
const UNARY_50X1: Calls = Calls { connections: 50, concurrency: 1, mode: Mode::Unary };
const BATCH_100: Calls = Calls { connections: 16, concurrency: 1, mode: Mode::Batch(100) };
const BATCH_512: Calls = Calls { mode: Mode::Batch(512), ..BATCH_100 };
const STREAM_100: Calls = Calls { mode: Mode::Stream(100), ..BATCH_100 };
/// Open loops of single calls, which never wait for each other.
const SINGLE: Calls = Calls { connections: 8, concurrency: 250, mode: Mode::Unary };
/// Their rate: calls a second.
const RATE: f64 = 10_000.0;
const ONE_BY_ONE: Shape = Shape { connections: 50, batch: 1 };
const HUNDREDS: Shape = Shape { connections: 16, batch: 100 };
const FIVE_TWELVES: Shape = Shape { connections: 16, batch: 512 };

pub struct World<'a> {
    runtime: &'a Runtime,
    mysql_pid: u32,
    select: MySqlPool,
    /// The flags that name aka's database.
    shard: [String; 2],
    aka: Server,
    /// An aka without a filter, over the same database. It asks the database for every cold id.
    unfiltered: Server,
    /// The two shapes, each for few aliases and for half of the ids.
    echo_shared: [Server; 2],
    echo_split: [Server; 2],
    secured: Secured,
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
        // The test servers are small. With a redo log of 8 MB the benchmark would measure the log.
        runtime.block_on(mysql.execute("SET GLOBAL innodb_redo_log_capacity = 1073741824"));
        let select = runtime.block_on(mysql::fill(mysql, HALF))?;
        let echo = |shape: &str, every: u32| {
            let mut command = Command::new(std::env::current_exe()?);
            command.args(["echo", shape, &every.to_string()]);
            Server::that_says(command)
        };
        let shard = ["--shard".to_owned(), make_database(runtime, mysql)?];
        let [aka, unfiltered] = [serve(&shard, &[])?, serve(&shard, &["--filter", "false"])?];
        let world = Self {
            runtime,
            mysql_pid: mysql.pid().ok_or("MySQL is not running")?,
            select,
            aka,
            unfiltered,
            echo_shared: [echo("shared", 10)?, echo("shared", 2)?],
            echo_split: [echo("split", 10)?, echo("split", 2)?],
            secured: Secured::start(folder.path(), &shard)?,
            shard,
            redis: redis::start(&folder.path().display().to_string())?,
            memcached: memcached::start()?,
            _folder: folder,
        };
        for share in [FEW, HALF] {
            prepare(&world.aka, share)?;
            redis::fill(&world.redis, of_redis(share))?;
        }
        memcached::fill(&world.memcached, Memcached { aliases: HALF })?;
        Ok(world)
    }

    /// All measurements. Those that are compared with each other are next to each other.
    pub fn measurements(&self) -> Vec<Measurement<'_>> {
        let mut all = Vec::new();
        let mut add = |name, run| all.push(Measurement { name, run });
        let grpc = |load: Load<'a>| -> Run<'_> { Box::new(move |duration| load.closed(duration)) };
        let [shared_few, shared_half] = &self.echo_shared;
        let [split_few, split_half] = &self.echo_split;

        add("aka, unary 8x50", grpc(self.aka(UNARY_8X50, HALF)));
        add("echo shared, unary 8x50", grpc(self.echo(shared_half, UNARY_8X50)));
        add("echo split, unary 8x50", grpc(self.echo(split_half, UNARY_8X50)));

        add("aka with principals, unary 8x50", grpc(self.with_token(UNARY_8X50)));
        add("aka over TLS, unary 8x50", grpc(self.over_tls(UNARY_8X50)));
        add("echo split over TLS, unary 8x50", grpc(self.echo_over_tls(UNARY_8X50)));

        add("aka, unary 50x1", grpc(self.aka(UNARY_50X1, HALF)));
        add("echo shared, unary 50x1", grpc(self.echo(shared_half, UNARY_50X1)));
        add("echo split, unary 50x1", grpc(self.echo(split_half, UNARY_50X1)));
        add("Redis, GET 50x1", self.of_redis(ONE_BY_ONE, HALF));
        add("memcached, get 50x1", self.of_memcached(ONE_BY_ONE));

        add("aka, batch of 100, 10 % aliases", grpc(self.aka(BATCH_100, FEW)));
        add("echo shared, batch of 100, 10 %", grpc(self.echo(shared_few, BATCH_100)));
        add("echo split, batch of 100, 10 %", grpc(self.echo(split_few, BATCH_100)));
        add("Redis, MGET of 100, 10 %", self.of_redis(HUNDREDS, FEW));

        add("aka, batch of 100, 50 % aliases", grpc(self.aka(BATCH_100, HALF)));
        add("aka, stream of 100s, 50 %", grpc(self.aka(STREAM_100, HALF)));
        add("echo shared, batch of 100, 50 %", grpc(self.echo(shared_half, BATCH_100)));
        add("echo split, batch of 100, 50 %", grpc(self.echo(split_half, BATCH_100)));
        add("aka over TLS, batch of 100, 50 %", grpc(self.over_tls(BATCH_100)));
        add("echo split over TLS, batch of 100, 50 %", grpc(self.echo_over_tls(BATCH_100)));
        let shakes = |duration| {
            let Secured { certificate, tls, .. } = &self.secured;
            self.runtime.block_on(certificate.handshakes(tls, duration))
        };
        add("aka, TLS handshakes", Box::new(shakes));
        add("Redis, MGET of 100, 50 %", self.of_redis(HUNDREDS, HALF));
        add("memcached, get of 100, 50 %", self.of_memcached(HUNDREDS));

        add("aka, batch of 512, 50 % aliases", grpc(self.aka(BATCH_512, HALF)));
        add("echo split, batch of 512, 50 %", grpc(self.echo(split_half, BATCH_512)));
        add("Redis, MGET of 512, 50 %", self.of_redis(FIVE_TWELVES, HALF));

        let (aka, unfiltered) = (&self.aka, &self.unfiltered);
        add("aka and its MySQL, cold ids, batch of 100", grpc(self.cold(aka, BATCH_100)));
        add("aka and its MySQL, cold ids, unary 8x50", grpc(self.cold(aka, UNARY_8X50)));
        let name = "aka without its filter and its MySQL, cold ids, batch of 100";
        add(name, grpc(self.cold(unfiltered, BATCH_100)));
        let name = "aka without its filter and its MySQL, cold ids, unary 8x50";
        add(name, grpc(self.cold(unfiltered, UNARY_8X50)));
        let select =
            |duration| self.runtime.block_on(mysql::run(&self.select, self.mysql_pid, duration));
        add("MySQL, one SELECT each, cold ids", Box::new(select));

        let at_rate = |load: Load<'a>| -> Run<'_> {
            Box::new(move |duration| Ok(load.open(duration, RATE)?.sample))
        };
        let sparse = self.cold(unfiltered, SINGLE);
        add("aka without its filter and its MySQL, 10,000 sparse misses a second", at_rate(sparse));
        let mut hits = self.aka(SINGLE, HALF);
        hits.pids.push(self.mysql_pid);
        add("aka and its MySQL, 10,000 single hits a second", at_rate(hits));
        let cold_start = |duration| self.cold_start(duration);
        add("a new aka and its MySQL, 10,000 a second from its start", Box::new(cold_start));
        all
    }

    /// The loads of the plot: aka, and the echo in both shapes.
    pub fn unary(&self) -> [(&'static str, Load<'a>); 3] {
        [
            ("aka", self.aka(UNARY_8X50, HALF)),
            ("echo shared", self.echo(&self.echo_shared[1], UNARY_8X50)),
            ("echo split", self.echo(&self.echo_split[1], UNARY_8X50)),
        ]
    }

    fn aka(&self, calls: Calls, aliases: f64) -> Load<'a> {
        self.load(&self.aka, calls, LoadPlan::new(project(aliases), keys::all(aliases)))
    }

    fn cold(&self, aka: &Server, calls: Calls) -> Load<'a> {
        let plan = LoadPlan { cold: 1.0, ..LoadPlan::new(project(HALF), keys::all(HALF)) };
        let mut load = self.load(aka, calls, plan);
        load.pids.push(self.mysql_pid);
        load
    }

    fn over_tls(&self, calls: Calls) -> Load<'a> {
        let plan = LoadPlan::new(project(HALF), keys::all(HALF));
        Load { tls: Some(self.secured.client.clone()), ..self.load(&self.secured.tls, calls, plan) }
    }

    fn echo_over_tls(&self, calls: Calls) -> Load<'a> {
        let tls = Some(self.secured.client.clone());
        Load { tls, ..self.echo(&self.secured.echo, calls) }
    }

    fn with_token(&self, calls: Calls) -> Load<'a> {
        let plan = LoadPlan::new(project(HALF), keys::all(HALF));
        let authorization = Some(self.secured.token.clone());
        Load { authorization, ..self.load(&self.secured.with_principals, calls, plan) }
    }

    /// Starts an instance, and asks it from its first moment on.
    fn cold_start(&self, duration: Duration) -> Result<Sample, Fault> {
        let aka = serve(&self.shard, &[])?;
        let mut load = self.load(&aka, SINGLE, LoadPlan::new(project(HALF), keys::all(HALF)));
        load.pids.push(self.mysql_pid);
        load.open_at_once(duration, RATE)
    }

    /// The echo has no aliases, so its answers are not compared.
    fn echo(&self, echo: &Server, calls: Calls) -> Load<'a> {
        let plan = LoadPlan { check: false, ..LoadPlan::new(1, keys::all(HALF)) };
        self.load(echo, calls, plan)
    }

    fn load(&self, server: &Server, calls: Calls, plan: LoadPlan) -> Load<'a> {
        let Calls { connections, concurrency, mode } = calls;
        let plan = LoadPlan { connections, concurrency, mode, zipf: keys::ZIPF, ..plan };
        let (runtime, address, pids) = (self.runtime, server.address, vec![server.pid()]);
        Load { runtime, address, pids, plan, tls: None, authorization: None }
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

/// The project of a share of aliases. Each share has its own.
fn project(aliases: f64) -> u64 {
    (aliases * 100.0) as u64
}

/// Creates the aliases, and reads all ids once.
fn prepare(aka: &Server, aliases: f64) -> Result<(), Fault> {
    let (address, project) = (aka.address, project(aliases));
    let count = keys::COUNT;
    let flags = format!(
        "--server {address} --project {project} --keys {count} --aliases {aliases} --duration 1"
    );
    let mut bench = Command::new(env!("CARGO_BIN_EXE_aka"));
    bench.env_clear().args(["bench", "--prepare"]).args(flags.split(' '));
    let output = bench.output()?;
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned().into()),
    }
}

fn of_redis(aliases: f64) -> Redis {
    Redis { database: u32::from(aliases == HALF), aliases }
}

/// Makes a database with aka's tables on this MySQL, and returns its URL.
fn make_database(runtime: &Runtime, mysql: &DbServer) -> Result<String, Fault> {
    let url = mysql.url(&runtime.block_on(mysql.create_database()));
    let migrated = aka("migrate", &["--shard".to_owned(), url.clone()]).output()?;
    match migrated.status.success() {
        true => Ok(url),
        false => Err(String::from_utf8_lossy(&migrated.stderr).into_owned().into()),
    }
}

/// Starts an instance of aka over this shard.
pub fn serve(shard: &[String], flags: &[&str]) -> Result<Server, Fault> {
    let mut serve = aka("serve", shard);
    serve.args(["--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"]).args(flags);
    Server::that_says(serve)
}

/// A command of aka, with nothing in its environment.
pub fn aka(command: &str, shard: &[String]) -> Command {
    let mut aka = Command::new(aka_program());
    aka.env_clear().arg(command).args(shard);
    aka
}
