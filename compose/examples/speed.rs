//! Measures how long a large file takes: 5,000 services in about a megabyte, read, checked, converted.
//!
//! `cargo run --release -p compose --example speed [FILE]`: for each step the median and the best of 20
//! readings, as time and as processor time, and how much memory one needs beside the text.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use compose::{Input, InputFile, MemoryReader, load, normalise};

const ROUNDS: usize = 20;

fn main() {
    let text = match std::env::args().nth(1) {
        Some(file) => std::fs::read_to_string(&file).unwrap_or_else(|e| panic!("{file}: {e}")),
        None => large_file(5_000),
    };
    let reader = MemoryReader::default();
    let input = Input {
        files: vec![InputFile { name: "large.yml".into(), bytes: text.clone().into_bytes() }],
        project_dir: "/project".into(),
        environment: BTreeMap::new(),
        reader: &reader,
        stack: "large".into(),
        profiles: Vec::new(),
    };
    let before = most_memory();
    let services = load(&input).unwrap_or_else(|p| panic!("{p}")).stack.specs.services.len();
    println!("{} bytes, {services} services", text.len());
    println!("{:<20} {} KiB more than before", "memory", most_memory() - before);
    measure("load (everything)", || load(&input).map(drop).map_err(|p| p.to_string()));
    measure("normalise (config)", || normalise(&input).map(drop).map_err(|p| p.to_string()));
    measure("load, write as YAML", || {
        // A copy that nobody has looked at yet.
        let document = load(&input).map_err(|p| p.to_string())?.stack.document;
        if document.to_yaml().is_empty() { Err(String::from("nothing")) } else { Ok(()) }
    });
}

fn measure(what: &str, run: impl Fn() -> Result<(), String>) {
    let mut times: Vec<(Duration, Duration)> = (0..ROUNDS)
        .map(|_| {
            let (begun, used) = (Instant::now(), processor_time());
            run().unwrap_or_else(|problems| panic!("{problems}"));
            (begun.elapsed(), processor_time().saturating_sub(used))
        })
        .collect();
    times.sort();
    let (median, best) = (times[ROUNDS / 2].0, times[0].0);
    times.sort_by_key(|t| t.1);
    let (cpu_median, cpu_best) = (times[ROUNDS / 2].1, times[0].1);
    println!(
        "{what:<20} median {median:>8.1?}  best {best:>8.1?}  processor: median {cpu_median:>8.1?}  best {cpu_best:>8.1?}"
    );
}

/// What this process has had of a processor; 0 where the system does not tell.
fn processor_time() -> Duration {
    let text = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    let nanos = text.split_whitespace().next().and_then(|word| word.parse().ok());
    Duration::from_nanos(nanos.unwrap_or(0))
}

/// The most memory that this process has had, KiB; 0 where the system does not tell.
fn most_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|l| l.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

fn large_file(services: usize) -> String {
    let mut text = String::from("services:\n");
    for n in 0..services {
        let _ = write!(
            text,
            "  service-{n}:\n    image: registry.example.com/team/app-{n}:1.2.3\n    environment:\n      \
             A: ${{A:-b}}\n      N: \"{n}\"\n    networks: [front]\n    deploy:\n      replicas: 2\n      \
             labels: [a=b, c=d]\n"
        );
    }
    text.push_str("networks:\n  front: {}\n");
    text
}
