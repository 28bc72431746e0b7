//! A manager that is killed in the middle of writing loses nothing that it acknowledged.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

const BENCH: &str = env!("CARGO_BIN_EXE_log-bench");

/// Lets a child write until it has acknowledged `enough`, kills it with SIGKILL, and gives all
/// that it acknowledged.
fn write_and_kill(folder: &Path, enough: usize) -> BTreeSet<u64> {
    let mut child = Command::new(BENCH)
        .arg("until-killed")
        .arg(folder)
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let mut acknowledged = BTreeSet::new();
    for line in lines.by_ref().take(enough) {
        acknowledged.insert(line.expect("a line").parse().expect("a number"));
    }
    assert_eq!(acknowledged.len(), enough, "the child ended early");
    child.kill().expect("killed");
    child.wait().expect("its end");
    // What it wrote to the pipe before it died was acknowledged too; its last line may be cut.
    acknowledged.extend(lines.map_while(Result::ok).filter_map(|line| line.parse::<u64>().ok()));
    acknowledged
}

fn recovered(folder: &Path) -> BTreeSet<u64> {
    let output = Command::new(BENCH).arg("verify").arg(folder).output().expect("the program");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("text");
    text.lines().map(|line| line.parse().expect("a number")).collect()
}

#[test]
fn whatever_was_acknowledged_before_a_kill_is_there_afterwards() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut acknowledged = BTreeSet::new();
    for enough in [1, 700, 3000, 50] {
        acknowledged.extend(write_and_kill(folder.path(), enough));
        let recovered = recovered(folder.path());
        let lost: Vec<_> = acknowledged.difference(&recovered).collect();
        assert!(lost.is_empty(), "lost {lost:?}");
    }
}
