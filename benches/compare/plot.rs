//! Draws `docs/latency.svg`: latency against load, up to the most that each server can carry.

use crate::sample::{Results, Sample, grouped};
use crate::service::Load;
use crate::world::World;
use crate::{Fault, Options};
use aka_test_support::median;
use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

/// The rates that are tried, as shares of the rate of a closed loop. The last is more than the server
/// can carry.
const SHARES: [f64; 9] = [0.1, 0.2, 0.35, 0.5, 0.65, 0.75, 0.85, 0.95, 1.05];

/// The longest time for one rate. A longer one does not make a smoother line.
const MOST_PASSES: usize = 3;

struct Line {
    name: &'static str,
    colour: &'static str,
    points: Vec<Point>,
}

struct Point {
    rate: f64,
    p50_ms: f64,
    p99_ms: f64,
}

/// Measures aka and the better echo, and writes the picture.
pub fn draw(world: &World<'_>, results: &Results, options: &Options) -> Result<(), Fault> {
    let duration = Duration::from_secs_f64(options.seconds);
    let [(_, aka), shared, split] = world.unary();
    let cost = |(name, _): &(&str, Load<'_>)| {
        let cpu = results.median(&format!("{name}, unary 8x50"), |sample| sample.cpu_us);
        cpu.unwrap_or(f64::INFINITY)
    };
    let (name, echo) = if cost(&split) < cost(&shared) { split } else { shared };
    let passes = options.rounds.min(MOST_PASSES);
    let lines = [
        Line { name: "aka", colour: "#0b6e99", points: sweep("aka", &aka, duration, passes)? },
        Line { name, colour: "#b3541e", points: sweep(name, &echo, duration, passes)? },
    ];
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join("latency.svg");
    std::fs::create_dir_all(path.parent().ok_or("it has a folder")?)?;
    std::fs::write(path, svg(&lines))?;
    Ok(())
}

/// Rates in rising order, until the server cannot keep up.
fn sweep(
    name: &str,
    load: &Load<'_>,
    duration: Duration,
    passes: usize,
) -> Result<Vec<Point>, Fault> {
    let most = load.closed(duration)?.ids_per_second;
    let mut points = Vec::new();
    for share in SHARES {
        let rate = (most * share).max(1.0);
        let mut samples: Vec<Sample> = Vec::new();
        for _ in 0..passes {
            let open = load.open(duration, rate)?;
            if open.kept_up {
                samples.push(open.sample);
            }
        }
        let of = |value: fn(&Sample) -> f64| median(samples.iter().map(value).collect());
        let (Some(p50_us), Some(p99_us)) = (of(|s| s.p50_us), of(|s| s.p99_us)) else { break };
        eprintln!("plot: {name} at {rate:.0}/s: p50 {p50_us:.0} µs, p99 {p99_us:.0} µs");
        points.push(Point { rate, p50_ms: p50_us / 1e3, p99_ms: p99_us / 1e3 });
    }
    Ok(points)
}

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 420.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 50.0;

/// Where a rate and a latency are in the picture. Latencies are drawn by their magnitude.
struct Scale {
    most: f64,
    decades: std::ops::RangeInclusive<i32>,
}

impl Scale {
    fn of(lines: &[Line]) -> Self {
        let points = || lines.iter().flat_map(|line| &line.points);
        let most = points().map(|point| point.rate).fold(1.0, f64::max);
        let least = points().map(|point| point.p50_ms).fold(1.0, f64::min).max(1e-3);
        let greatest = points().map(|point| point.p99_ms).fold(1.0, f64::max);
        Self { most, decades: least.log10().floor() as i32..=greatest.log10().ceil() as i32 }
    }

    fn x(&self, rate: f64) -> f64 {
        LEFT + rate / self.most * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, ms: f64) -> f64 {
        let (low, high) = (f64::from(*self.decades.start()), f64::from(*self.decades.end()));
        let share = (ms.max(1e-3).log10() - low) / (high - low).max(1.0);
        HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)
    }
}

fn svg(lines: &[Line]) -> String {
    let scale = Scale::of(lines);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <title>Latency of Resolve against open-loop rate</title>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
    );
    axes(&mut svg, &scale);
    for (at, line) in lines.iter().enumerate() {
        for (dashes, name, of) in [
            ("", "p50", (|point| point.p50_ms) as fn(&Point) -> f64),
            ("5 4", "p99", |point| point.p99_ms),
        ] {
            let place =
                |point: &Point| format!("{:.1},{:.1}", scale.x(point.rate), scale.y(of(point)));
            let places: Vec<String> = line.points.iter().map(place).collect();
            let stroke = format!("stroke=\"{}\" stroke-dasharray=\"{dashes}\"", line.colour);
            // Into a string, which takes everything; so below.
            let _ = writeln!(
                svg,
                "<polyline points=\"{}\" fill=\"none\" stroke-width=\"2\" {stroke}/>",
                places.join(" ")
            );
            let x = LEFT + 20.0 + at as f64 * 220.0 + if name == "p99" { 110.0 } else { 0.0 };
            let _ = writeln!(
                svg,
                "<line x1=\"{x}\" y1=\"20\" x2=\"{}\" y2=\"20\" stroke-width=\"2\" {stroke}/>\
                 <text x=\"{}\" y=\"24\">{} {name}</text>",
                x + 24.0,
                x + 30.0,
                line.name
            );
        }
    }
    svg.push_str("</svg>\n");
    svg
}

/// The least of 1, 2, 5, 10, 20, … that is not below `least`.
fn round_step(least: f64) -> f64 {
    let decade = 10_f64.powf(least.max(1.0).log10().floor());
    let steps = [1.0, 2.0, 5.0].map(|digit| digit * decade);
    steps.into_iter().find(|step| *step >= least).unwrap_or(10.0 * decade)
}

fn axes(svg: &mut String, scale: &Scale) {
    let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
    for decade in scale.decades.clone() {
        let ms = 10_f64.powi(decade);
        let y = scale.y(ms);
        let _ = writeln!(
            svg,
            "<line x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{right}\" y2=\"{y:.1}\" stroke=\"#dddddd\"/>\
             <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{ms} ms</text>",
            LEFT - 8.0,
            y + 4.0
        );
    }
    let step = round_step(scale.most / 5.0);
    for at in 0..=(scale.most / step) as u32 {
        let rate = step * f64::from(at);
        let x = scale.x(rate);
        let _ = writeln!(
            svg,
            "<line x1=\"{x:.1}\" y1=\"{TOP}\" x2=\"{x:.1}\" y2=\"{bottom}\" stroke=\"#eeeeee\"/>\
             <text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            bottom + 18.0,
            grouped(rate)
        );
    }
    let _ = writeln!(
        svg,
        "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">calls a second, open loop</text>",
        (LEFT + right) / 2.0,
        HEIGHT - 10.0
    );
}
