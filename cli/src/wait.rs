//! Waits until services are as they should be, shows how far they are, and says why they are not.

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use model::api::{Service, Task};
use model::spec::ModeKind;

use crate::client::{CallError, Client};
use crate::commands::service::tasks;
use crate::commands::task::name_of;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(200);

/// How a command waits.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Do not wait
    #[arg(short, long)]
    detach: bool,
    /// How long to wait, seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    timeout: u64,
}

/// How far one service is.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Progress {
    name: String,
    done: u64,
    wanted: u64,
    /// Its last change, as the API calls it.
    update: String,
    /// Why tasks do not run, a line each.
    reasons: Vec<String>,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waiting,
    Converged,
    /// It will not converge by itself.
    Stopped,
}

/// Returns when every service has converged.
///
/// # Errors
/// When one stopped (its update was paused or rolled back) or the time is up; the message has each
/// task's reason.
pub async fn converged(client: &Client, services: &[String], args: &Args) -> anyhow::Result<()> {
    if args.detach || services.is_empty() {
        return Ok(());
    }
    let deadline = Instant::now() + Duration::from_secs(args.timeout);
    let mut shown = Shown::new();
    loop {
        let mut all = Vec::new();
        for service in services {
            match client.get::<Service>(&format!("/services/{service}")).await {
                Ok(found) => all.push(progress(&found, &tasks(client, service).await?)),
                Err(error) if error.is_not_found() => {
                    anyhow::bail!("service {service} was removed while it was waited for")
                }
                // A manager may just be changing: the cluster is asked again.
                Err(CallError::Refused { status, .. }) if status.is_server_error() => break,
                Err(error) => return Err(error.into()),
            }
        }
        shown.show(&all);
        if all.len() == services.len() {
            if let Some(stopped) = all.iter().find(|p| p.state == State::Stopped) {
                anyhow::bail!("{}", stopped.failure());
            }
            if all.iter().all(|p| p.state == State::Converged) {
                return Ok(());
            }
        }
        if Instant::now() >= deadline {
            let late: Vec<String> =
                all.iter().filter(|p| p.state != State::Converged).map(Progress::failure).collect();
            anyhow::bail!("not converged after {} s\n{}", args.timeout, late.join("\n"));
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn progress(service: &Service, tasks: &[Task]) -> Progress {
    let names = BTreeMap::from([(service.id.as_str(), service.spec.name.as_str())]);
    let template = &service.spec.task_template;
    let live: Vec<&Task> =
        tasks.iter().filter(|t| matches!(t.desired_state.as_str(), "running" | "ready")).collect();
    // A task is of the current template when nothing that makes a container differs.
    let current = |t: &&&Task| {
        t.spec.container_spec == template.container_spec
            && t.spec.force_update == template.force_update
    };
    let running = |t: &&&Task| t.status.state == "running";
    let (done, wanted) = match service.spec.mode.kind() {
        ModeKind::Replicated { replicas } => {
            (count(live.iter().filter(running).filter(current)), replicas)
        }
        ModeKind::Global => {
            let wanted = count(live.iter()).max(1);
            (count(live.iter().filter(running).filter(current)), wanted)
        }
        ModeKind::ReplicatedJob { total, .. } => {
            (count(tasks.iter().filter(|t| t.status.state == "complete")), total)
        }
        ModeKind::GlobalJob => {
            let done = count(tasks.iter().filter(|t| t.status.state == "complete"));
            (done, count(live.iter()).max(1))
        }
    };
    let update = service.update_status.as_ref().map_or(String::new(), |u| u.state.clone());
    let stopped = matches!(
        update.as_str(),
        "paused" | "rollback_paused" | "rollback_started" | "rollback_completed"
    );
    let surplus = live.len() as u64 > wanted;
    let converged =
        done == wanted && !surplus && matches!(update.as_str(), "" | "completed" | "updating");
    let state = match (stopped, converged) {
        (true, _) => State::Stopped,
        (false, true) => State::Converged,
        (false, false) => State::Waiting,
    };
    let reasons = live
        .iter()
        .filter(|t| t.status.state != "running")
        .map(|t| {
            let why = if t.status.err.is_empty() { &t.status.message } else { &t.status.err };
            format!("{}: {}: {why}", name_of(t, &names), t.status.state)
        })
        .collect();
    let mut progress =
        Progress { name: service.spec.name.clone(), done, wanted, update, reasons, state };
    if progress.state == State::Stopped {
        let message = service.update_status.as_ref().map_or("", |u| u.message.as_str());
        progress.reasons.insert(0, message.to_owned());
        progress.reasons.extend(failures(tasks, &names));
    }
    progress
}

/// What went wrong last in each slot.
fn failures(tasks: &[Task], names: &BTreeMap<&str, &str>) -> Vec<String> {
    let mut failed: Vec<&Task> =
        tasks.iter().filter(|t| matches!(t.status.state.as_str(), "failed" | "rejected")).collect();
    failed.sort_by_key(|t| std::cmp::Reverse(t.status.timestamp));
    let line = |t: &&Task| format!("{}: {}: {}", name_of(t, names), t.status.state, t.status.err);
    failed.iter().take(3).map(line).collect()
}

fn count<T>(items: impl Iterator<Item = T>) -> u64 {
    items.count() as u64
}

impl Progress {
    fn failure(&self) -> String {
        let update = if self.update.is_empty() { "" } else { &self.update };
        let mut text = format!("{}: {} of {} tasks {update}", self.name, self.done, self.wanted);
        for reason in self.reasons.iter().filter(|r| !r.is_empty()) {
            text.push_str("\n  ");
            text.push_str(reason);
        }
        text
    }

    fn line(&self) -> String {
        let mark = match self.state {
            State::Converged => "✓",
            State::Waiting => "…",
            State::Stopped => "✗",
        };
        let reason = self.reasons.iter().find(|r| !r.is_empty()).map_or("", String::as_str);
        format!("{mark} {}  {}/{}  {reason}", self.name, self.done, self.wanted)
    }
}

/// What stands on the terminal. Where there is none, a line is printed when it changes.
struct Shown {
    terminal: bool,
    last: Vec<Progress>,
}

impl Shown {
    fn new() -> Shown {
        Shown { terminal: std::io::stderr().is_terminal(), last: Vec::new() }
    }

    fn show(&mut self, all: &[Progress]) {
        if self.last == all {
            return;
        }
        let mut err = std::io::stderr().lock();
        // A terminal that went away is no reason to stop waiting.
        if self.terminal {
            if !self.last.is_empty() {
                let _ = write!(err, "\x1b[{}A", self.last.len());
            }
            for progress in all {
                let _ = writeln!(err, "\x1b[2K{}", progress.line());
            }
        } else {
            let changed = all.iter().filter(|p| {
                self.last
                    .iter()
                    .find(|l| l.name == p.name)
                    .is_none_or(|l| l.state != p.state || l.done != p.done)
            });
            for progress in changed {
                let _ = writeln!(err, "{}", progress.line());
            }
        }
        self.last = all.to_vec();
    }
}
