//! Runs seeds of the simulator: `sim --from 1 --seeds 2000 [--managers 5 --agents 50 --minutes 10]`.

use std::io::Write;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use cluster_tests::sim::{INVARIANTS, Settings, run};

/// Runs the orchestrator in simulation, one run for each seed.
#[derive(Parser)]
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
    /// No faults, only users.
    #[arg(long)]
    calm: bool,
    /// Writes every event of the last seed to this file.
    #[arg(long)]
    trace: Option<std::path::PathBuf>,
    /// Lists the invariants and ends.
    #[arg(long)]
    invariants: bool,
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    if arguments.invariants {
        for (id, says) in INVARIANTS {
            println!("{id:<24} {says}");
        }
        return Ok(ExitCode::SUCCESS);
    }
    let settings = Settings {
        managers: arguments.managers,
        agents: arguments.agents.max(arguments.managers),
        minutes: arguments.minutes,
        faults: !arguments.calm,
        trace: arguments.trace.is_some(),
    };
    let begun = Instant::now();
    let (mut failed, mut simulated_ms) = (0u64, 0u64);
    for seed in arguments.from..arguments.from + arguments.seeds {
        let done = run(seed, &settings);
        simulated_ms += done.simulated_ms;
        if let Some(file) = &arguments.trace {
            let mut out = std::fs::File::create(file)?;
            for line in &done.trace {
                writeln!(out, "{line}")?;
            }
        }
        if let Some(failure) = done.failure {
            failed += 1;
            println!("seed {seed} at {} ms: {}: {}", failure.at_ms, failure.what, failure.detail);
            println!(
                "  again: cargo run -p cluster-tests --bin sim -- --from {seed} --seeds 1 \
                 --managers {} --agents {} --minutes {}{}",
                settings.managers,
                settings.agents,
                settings.minutes,
                if settings.faults { "" } else { " --calm" }
            );
        }
    }
    let real = begun.elapsed().as_secs_f64().max(0.001);
    let speed = simulated_ms as f64 / 1_000.0 / real;
    println!("{} seeds, {failed} failed, {speed:.0} simulated seconds per second", arguments.seeds);
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
