//! Compares aka with Redis, memcached, MySQL and a bare echo, in one program and one run.
//!
//! `make compare`, or `cargo bench --profile dist --bench compare` once the servers are installed;
//! after `--`:
//!
//! - `--rounds N` (5) and `--seconds S` (3): every measurement is made once in each round, so that
//!   a busy minute of the machine hits all of them; the medians count;
//! - `--quick`: one round of a second each, to see that it works;
//! - `--only TEXT`: only measurements whose name contains TEXT, for trying out;
//! - `--no-plot`: leave `docs/latency.svg` alone;
//! - `echo SHAPE [EVERY [CERT KEY]]`: be the echo and nothing else; with certificate and key, over
//!   TLS.
//!
//! Everything runs on this machine, on loopback: each of the servers, aka's MySQL, and the load.
//! All of them know the same million keys with the same values, asked for with a skew (Zipf 0.99),
//! and every answer is checked. The CPU time of a server for an id, from `/proc`, is compared
//! first: a machine of its own would run out of CPU first, and other programs disturb CPU times less
//! than rates.

mod echo;
mod goals;
mod keys;
mod load;
mod memcached;
mod mysql;
mod plot;
mod process;
mod redis;
mod sample;
mod secured;
mod service;
mod tls;
mod world;

use sample::{Results, Sample};
use std::error::Error;
use std::time::Duration;
use world::World;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

pub type Fault = Box<dyn Error + Send + Sync>;

/// How to run.
pub struct Options {
    rounds: usize,
    pub seconds: f64,
    only: Option<String>,
    plot: bool,
}

fn main() -> Result<(), Fault> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let Some(("echo", rest)) = args.split_first().map(|(first, rest)| (first.as_str(), rest)) {
        let rest: Vec<_> = rest.iter().filter(|arg| *arg != "--bench").collect();
        let every = rest.get(1).map_or(Ok(2), |n| n.parse())?;
        let tls = match rest[..] {
            [_, _, cert, key] => Some(echo::identity(cert, key)?),
            _ => None,
        };
        return echo::serve_forever(rest.first().map_or("shared", |s| s), every, tls);
    }
    let options = Options::parse(&args)?;
    let runtime = tokio::runtime::Runtime::new()?;
    let world = World::start(&runtime)?;
    let results = measure(&world, &options)?;
    let processors = std::thread::available_parallelism()?;
    let Options { rounds, seconds, .. } = options;
    println!(
        "Medians of {rounds} rounds of {seconds} s each; {processors} processors for it all.\n"
    );
    println!("{}", results.table());
    println!("{}", goals::table(&results));
    if options.plot && options.only.is_none() {
        plot::draw(&world, &results, &options)?;
    }
    Ok(())
}

/// Makes every measurement once in every round.
fn measure(world: &World, options: &Options) -> Result<Results, Fault> {
    let mut results = Results::default();
    let measurements: Vec<_> = world
        .measurements()
        .into_iter()
        .filter(|one| options.only.as_ref().is_none_or(|only| one.name.contains(only)))
        .collect();
    let duration = Duration::from_secs_f64(options.seconds);
    for round in 1..=options.rounds {
        for measurement in &measurements {
            let sample = (measurement.run)(duration)
                .map_err(|fault| format!("{}: {fault}", measurement.name))?;
            let Sample { ids_per_second, cpu_us, .. } = sample;
            let name = measurement.name;
            eprintln!("round {round}: {name}: {ids_per_second:.0} ids/s, {cpu_us:.2} µs");
            results.add(name, sample);
        }
    }
    Ok(results)
}

impl Options {
    fn parse(args: &[String]) -> Result<Self, Fault> {
        let mut options = Self { rounds: 5, seconds: 3.0, only: None, plot: true };
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value"));
            match arg.as_str() {
                "--rounds" => options.rounds = value()?.parse::<usize>()?.clamp(1, 100),
                "--seconds" => options.seconds = value()?.parse::<f64>()?.clamp(0.1, 60.0),
                "--only" => options.only = Some(value()?.clone()),
                "--quick" => (options.rounds, options.seconds) = (1, 1.0),
                "--no-plot" => options.plot = false,
                // Cargo says so to every benchmark.
                "--bench" => {}
                other => return Err(format!("there is no option {other}").into()),
            }
        }
        Ok(options)
    }
}
