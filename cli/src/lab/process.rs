//! Names a process so that a number that was given out again is not mistaken for it.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::Context;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

/// How often the end of a process is looked for.
const POLL: Duration = Duration::from_millis(5);

/// A process, by number, start time and boot of the machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ProcessRef {
    pub pid: i32,
    /// Clock ticks since boot, as in field 22 of `/proc/PID/stat`.
    pub started_ticks: u64,
    /// The boot's random id.
    pub boot: String,
}

impl ProcessRef {
    /// Names the process that has this number now.
    pub(super) fn of(pid: i32) -> anyhow::Result<Self> {
        let (_, started_ticks) =
            stat(pid).with_context(|| format!("process {pid} ended while it was looked at"))?;
        Ok(Self { pid, started_ticks, boot: boot()? })
    }

    /// Whether it runs still. A zombie does not; of an init it also means that nothing is left in
    /// its pid namespace.
    pub(super) fn is_alive(&self) -> bool {
        boot().is_ok_and(|boot| boot == self.boot)
            && stat(self.pid).is_some_and(|(state, started)| {
                started == self.started_ticks && !matches!(state, 'Z' | 'X')
            })
    }

    /// Sends a signal, unless it has ended.
    pub(super) fn signal(&self, signal: Signal) {
        if self.is_alive() {
            // It may end in between; that is what most senders want anyway.
            let _ = kill(Pid::from_raw(self.pid), signal);
        }
    }

    /// Waits until it has ended.
    pub(super) fn wait_ended(&self, at_most: Duration) -> anyhow::Result<()> {
        let deadline = Instant::now() + at_most;
        while self.is_alive() {
            anyhow::ensure!(
                Instant::now() < deadline,
                "process {} did not end within {} s",
                self.pid,
                at_most.as_secs()
            );
            std::thread::sleep(POLL);
        }
        Ok(())
    }
}

fn boot() -> anyhow::Result<String> {
    let file = "/proc/sys/kernel/random/boot_id";
    Ok(fs::read_to_string(file).with_context(|| format!("cannot read {file}"))?.trim().to_owned())
}

/// State letter and start time.
fn stat(pid: i32) -> Option<(char, u64)> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

fn parse_stat(text: &str) -> Option<(char, u64)> {
    // The program's name stands in parentheses and may itself hold blanks and parentheses.
    let mut fields = text.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((state, fields.nth(18)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_time_is_found_behind_any_program_name() {
        let text = "7 (a) b) c) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 12345 99 88";
        assert_eq!(parse_stat(text), Some(('S', 12345)));
        assert_eq!(parse_stat("7 (a"), None);
    }

    #[test]
    fn a_process_is_not_mistaken_for_an_older_one_of_its_number() {
        let me = ProcessRef::of(std::process::id() as i32).expect("i run");
        assert!(me.is_alive());
        assert!(!ProcessRef { started_ticks: me.started_ticks + 1, ..me.clone() }.is_alive());
        assert!(!ProcessRef { boot: "another".into(), ..me }.is_alive());
    }

    #[test]
    fn a_process_that_was_not_yet_waited_for_has_ended() {
        let mut child = std::process::Command::new("true").spawn().expect("starts");
        let process = ProcessRef::of(child.id() as i32).expect("not reaped yet");
        process.wait_ended(Duration::from_secs(10)).expect("ends");
        child.wait().expect("reaped");
    }
}
