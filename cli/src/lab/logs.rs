//! `lab logs`: what a host's engine, agent or init wrote, readable also when the host is off.

use std::fs::File;
use std::io::{self, Read, Write};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyhow::Context;

use super::args::{Log, LogsArgs};
use super::paths::Paths;
use super::state::{Lab, LabName};

/// How often more is looked for.
const POLL: Duration = Duration::from_millis(200);

/// Runs `lab logs`.
pub(super) fn run(paths: &Paths, name: &LabName, args: &LogsArgs) -> anyhow::Result<ExitCode> {
    let lab = Lab::load_known(paths, name)?;
    let host = lab.host(&args.host)?;
    let of = match args.what {
        Log::Agent => "agent",
        Log::Engine => "engine",
        Log::Init => "init",
    };
    let file = paths.host(name, &host.name).log(of);
    let mut log = File::open(&file)
        .with_context(|| format!("{} has no log of its {of} ({})", host.name, file.display()))?;
    let mut text = Vec::new();
    log.read_to_end(&mut text)?;
    let mut shown = print(last_lines(&text, args.tail.unwrap_or(usize::MAX)))?;
    while args.follow && shown == Shown::Yes {
        text.clear();
        log.read_to_end(&mut text)?;
        if text.is_empty() {
            thread::sleep(POLL);
        } else {
            shown = print(&text)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Whether anybody still reads.
#[derive(PartialEq, Eq)]
enum Shown {
    Yes,
    No,
}

fn print(text: &[u8]) -> anyhow::Result<Shown> {
    let mut out = io::stdout().lock();
    match out.write_all(text).and_then(|()| out.flush()) {
        Ok(()) => Ok(Shown::Yes),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Shown::No),
        Err(error) => Err(error.into()),
    }
}

fn last_lines(text: &[u8], count: usize) -> &[u8] {
    let ends = text.strip_suffix(b"\n").unwrap_or(text);
    let mut newlines = ends.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n');
    match count.checked_sub(1) {
        None => &[],
        Some(before) => newlines.nth(before).map_or(text, |(at, _)| &text[at + 1..]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_counts_lines_whether_or_not_the_last_is_ended() {
        assert_eq!(last_lines(b"a\nb\nc\n", 2), b"b\nc\n");
        assert_eq!(last_lines(b"a\nb\nc", 2), b"b\nc");
        assert_eq!(last_lines(b"a\nb\n", 9), b"a\nb\n");
        assert_eq!(last_lines(b"a\n", 0), b"");
        assert_eq!(last_lines(b"", 1), b"");
    }
}
