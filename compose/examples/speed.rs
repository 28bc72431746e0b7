//! Measures how long a large file takes: 5,000 services in about a megabyte, read, checked, converted.
//!
//! `cargo run --release -p compose --example speed`; prints the median and the best of 20 readings.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use compose::{Input, InputFile, MemoryReader, load, normalise};

const ROUNDS: usize = 20;

fn main() {
    let text = large_file(5_000);
    let reader = MemoryReader::default();
    let input = Input {
        files: vec![InputFile { name: "large.yml".into(), bytes: text.clone().into_bytes() }],
        project_dir: "/project".into(),
        environment: BTreeMap::new(),
        reader: &reader,
        stack: "large".into(),
        profiles: Vec::new(),
    };
    println!("{} bytes, 5,000 services", text.len());
    measure("load (everything)", || load(&input).map(drop).map_err(|p| p.to_string()));
    measure("normalise (config)", || normalise(&input).map(drop).map_err(|p| p.to_string()));
    measure("load, write as YAML", || {
        // A copy that nobody has looked at yet.
        let document = load(&input).map_err(|p| p.to_string())?.stack.document;
        if document.to_yaml().is_empty() { Err(String::from("nothing")) } else { Ok(()) }
    });
    println!("{:<20} {} KiB at most", "memory", most_memory());
}

fn measure(what: &str, run: impl Fn() -> Result<(), String>) {
    let mut times: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            let begun = Instant::now();
            run().unwrap_or_else(|problems| panic!("{problems}"));
            begun.elapsed()
        })
        .collect();
    times.sort();
    println!("{what:<20} median {:>8.1?}  best {:>8.1?}", times[ROUNDS / 2], times[0]);
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
