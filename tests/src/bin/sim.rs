//! Runs seeds of the simulator: `sim --from 1 --seeds 2000 [--managers 5 --agents 50 --minutes 10]`.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Parser;
use cluster_tests::sim::{INVARIANTS, Run, Settings, run, shrink};

/// Runs the orchestrator in simulation, one run for each seed.
#[derive(Parser, Clone)]
struct Arguments {
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// How many seeds.
    #[arg(long, default_value_t = 100)]
    seeds: u64,
    #[arg(long, default_value_t = 3)]
    managers: usize,
    /// Hosts in all, managers among them.
    #[arg(long, default_value_t = 7)]
    agents: usize,
    /// Simulated minutes of trouble.
    #[arg(long, default_value_t = 3)]
    minutes: u64,
    /// Simulated seconds of trouble, instead of minutes.
    #[arg(long)]
    seconds: Option<u64>,
    /// No faults and no weather, only users.
    #[arg(long)]
    calm: bool,
    /// No weather: no frame is lost, doubled or late, no answer and no event is missed.
    #[arg(long)]
    still: bool,
    /// Only these acts of users and faults (numbers with commas between).
    #[arg(long, value_delimiter = ',')]
    only: Option<Vec<u64>>,
    /// Writes every event of the last seed to this file.
    #[arg(long)]
    trace: Option<PathBuf>,
    /// Runs each seed twice and compares the two, byte for byte.
    #[arg(long)]
    twice: bool,
    /// Runs at the same time.
    #[arg(long, default_value_t = 1)]
    jobs: usize,
    /// Goes on for so many hours, with ever new seeds.
    #[arg(long)]
    hours: Option<f64>,
    /// Does not look for the acts that a failure needs.
    #[arg(long)]
    no_shrink: bool,
    /// Runs the lines of this file, each the arguments of one run.
    #[arg(long)]
    file: Option<PathBuf>,
    /// Lists the invariants and ends.
    #[arg(long)]
    invariants: bool,
}

impl Arguments {
    fn settings(&self) -> Settings {
        Settings {
            managers: self.managers.max(1),
            agents: self.agents.max(self.managers.max(1)),
            seconds: self.seconds.unwrap_or(self.minutes * 60),
            faults: !self.calm,
            weather: !self.calm && !self.still,
            only: self.only.as_ref().map(|only| only.iter().copied().collect()),
            trace: self.trace.is_some() || self.twice,
        }
    }
}

/// What all runs gave together.
#[derive(Default)]
struct Sum {
    seeds: u64,
    failed: u64,
    simulated_ms: u64,
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    if arguments.invariants {
        for (id, says) in INVARIANTS {
            println!("{id:<24} {says}");
        }
        return Ok(ExitCode::SUCCESS);
    }
    let begun = Instant::now();
    let mut sum = Sum::default();
    match (&arguments.file, arguments.hours) {
        (Some(file), _) => {
            for line in lines(file)? {
                seeds(&line, &mut sum)?;
            }
        }
        (None, Some(hours)) => {
            let mut next = arguments.clone();
            while begun.elapsed() < Duration::from_secs_f64(hours * 3_600.0) {
                seeds(&next, &mut sum)?;
                next.from += next.seeds;
                println!("up to seed {}: {} failed", next.from - 1, sum.failed);
            }
        }
        (None, None) => seeds(&arguments, &mut sum)?,
    }
    let real = begun.elapsed().as_secs_f64().max(0.001);
    let speed = sum.simulated_ms as f64 / 1_000.0 / real;
    println!("{} seeds, {} failed, {speed:.0} simulated seconds per second", sum.seeds, sum.failed);
    Ok(if sum.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Each line that says something, as arguments.
fn lines(file: &Path) -> anyhow::Result<Vec<Arguments>> {
    let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let mut all = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let words: Vec<&str> = line.split('#').next().unwrap_or("").split_whitespace().collect();
        if words.is_empty() {
            continue;
        }
        let parsed = Arguments::try_parse_from(std::iter::once("sim").chain(words));
        all.push(parsed.with_context(|| format!("{}:{}", file.display(), number + 1))?);
    }
    Ok(all)
}

/// Runs a range of seeds; what failed is told in the order of the seeds.
fn seeds(arguments: &Arguments, sum: &mut Sum) -> anyhow::Result<()> {
    let settings = arguments.settings();
    let (next, end) = (AtomicU64::new(arguments.from), arguments.from + arguments.seeds);
    let failures: Mutex<BTreeMap<u64, Run>> = Mutex::default();
    let simulated = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..arguments.jobs.max(1) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        break;
                    }
                    let mut done = run(seed, &settings);
                    simulated.fetch_add(done.simulated_ms, Ordering::Relaxed);
                    if arguments.twice {
                        compare(seed, &settings, &mut done);
                    }
                    let asked_for = arguments.trace.is_some() && seed + 1 == end;
                    if done.failure.is_some() || asked_for {
                        let mut kept = failures.lock().expect("nobody panics with it");
                        kept.insert(seed, done);
                    }
                }
            });
        }
    });
    sum.seeds += arguments.seeds;
    sum.simulated_ms += simulated.into_inner();
    for (seed, done) in failures.into_inner().expect("nobody panics with it") {
        if let Some(file) = arguments.trace.as_ref().filter(|_| seed + 1 == end) {
            let mut out = std::io::BufWriter::new(std::fs::File::create(file)?);
            for line in &done.trace {
                writeln!(out, "{line}")?;
            }
            out.flush()?;
        }
        if done.failure.is_some() {
            sum.failed += 1;
            tell(arguments, seed, &settings, &done);
        }
    }
    Ok(())
}

/// A second run must not differ from the first.
fn compare(seed: u64, settings: &Settings, done: &mut Run) {
    let again = run(seed, settings);
    if again != *done && done.failure.is_none() {
        let at = done.trace.iter().zip(&again.trace).position(|(a, b)| a != b);
        done.failure = Some(cluster_tests::sim::Failure {
            seed,
            at_ms: 0,
            what: "deterministic".to_owned(),
            detail: format!("a second run differs from event {at:?} on"),
        });
    }
}

fn tell(arguments: &Arguments, seed: u64, settings: &Settings, done: &Run) {
    let Some(failure) = &done.failure else { return };
    println!("seed {seed} at {} ms: {}: {}", failure.at_ms, failure.what, failure.detail);
    println!("  again: {}", command(seed, settings));
    if arguments.no_shrink {
        return;
    }
    let Some(shrunk) = shrink(seed, settings, done) else { return };
    println!("  shrunk to {} acts in {} runs:", shrunk.acts.len(), shrunk.runs);
    for act in &shrunk.acts {
        println!("    {:>8} ms  {:>4}  {}", act.at_ms, act.number, act.what);
    }
    let failure = &shrunk.failure;
    println!("    {:>8} ms  {}: {}", failure.at_ms, failure.what, failure.detail);
    println!("  again: {}", command(seed, &shrunk.settings));
}

/// The command that replays a seed.
fn command(seed: u64, settings: &Settings) -> String {
    let mut words = format!(
        "cargo run --release -p cluster-tests --bin sim -- --from {seed} --seeds 1 --managers {} \
         --agents {} --seconds {}",
        settings.managers, settings.agents, settings.seconds
    );
    if !settings.faults {
        words.push_str(" --calm");
    } else if !settings.weather {
        words.push_str(" --still");
    }
    if let Some(only) = &settings.only {
        let only: Vec<String> = only.iter().map(u64::to_string).collect();
        words.push_str(&format!(" --only {}", only.join(",")));
    }
    words
}
