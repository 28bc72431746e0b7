//! Waits until services are as they should be, shows how far they are, and says why they are not.
//!
//! Whether a service is as it should be is the managers' judgement (`/services/{id}/progress`);
//! here it is only asked for, shown, and watched for a while: a task that starts and dies at once
//! is not "running".

mod failure;
mod shown;

use std::time::{Duration, Instant};

use http::StatusCode;
use model::api::{Progress, Verdict};

use crate::client::{CallError, Client, encoded};
use failure::explained;
use shown::Shown;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(200);

/// How a command waits.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Waiting")]
pub struct Args {
    /// Do not wait
    #[arg(short, long, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true,
        default_missing_value = "true", default_value = "false", hide_default_value = true,
        value_name = "BOOL", hide_possible_values = true)]
    detach: bool,
    /// How long to wait at most, as 90s or 5m; a bare number means seconds
    #[arg(long, value_name = "SPAN", value_parser = span, default_value = "5m")]
    timeout: Duration,
    /// How long every task must have run [default: the service's --update-monitor, 5s]
    #[arg(long, value_name = "SPAN", value_parser = span)]
    verify: Option<Duration>,
    /// Show no progress
    #[arg(short, long)]
    quiet: bool,
}

impl Args {
    /// Whether nothing is to be waited for.
    #[must_use]
    pub fn is_detached(&self) -> bool {
        self.detach
    }

    /// How long to wait at most.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.timeout
    }
}

/// `90s`, `5m`, or a number of seconds.
///
/// # Errors
/// What is wrong with it.
pub fn span(text: &str) -> Result<Duration, String> {
    if let Ok(seconds) = text.parse() {
        return Ok(Duration::from_secs(seconds));
    }
    let nanos = compose::quantity::duration::parse(text).map_err(|e| e.to_string())?;
    u64::try_from(nanos).map(Duration::from_nanos).map_err(|_| "it is negative".to_owned())
}

/// A service that is waited for, and what it is to reach.
#[derive(Clone, Debug)]
pub struct Awaited {
    id: String,
    goal: Goal,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Goal {
    /// The spec that was just written; going back from it is a failure.
    Spec,
    /// The spec before.
    Rollback,
    /// Whatever it has now: nothing was changed.
    Rest,
}

impl Awaited {
    /// A service whose spec was just written.
    #[must_use]
    pub fn spec(id: String) -> Awaited {
        Awaited { id, goal: Goal::Spec }
    }

    /// A service that was just asked to go back.
    #[must_use]
    pub fn rollback(id: String) -> Awaited {
        Awaited { id, goal: Goal::Rollback }
    }

    /// A service that was left as it was.
    #[must_use]
    pub fn unchanged(id: String) -> Awaited {
        Awaited { id, goal: Goal::Rest }
    }
}

/// How far one service is, for this command.
#[derive(Clone, Debug, PartialEq)]
struct Look {
    progress: Progress,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waiting,
    /// It is as it should be, but not for long enough yet.
    Verifying,
    Converged,
    /// It will not converge by itself, or to something else.
    Failed,
}

/// Returns when every service has converged.
///
/// # Errors
/// When one will not (its update was paused or rolled back, a task was given up) or the time is up;
/// the message has each task's reason and the last lines of those that failed. Also when the user
/// interrupts the waiting.
pub async fn converged(client: &Client, services: &[Awaited], args: &Args) -> anyhow::Result<()> {
    if args.detach || services.is_empty() {
        return Ok(());
    }
    let mut shown = Shown::new(args.quiet);
    tokio::select! {
        outcome = watch(client, services, args, &mut shown) => outcome,
        _ = tokio::signal::ctrl_c() => {
            shown.end();
            anyhow::bail!(
                "no longer waiting; the change goes on (see it with: swarmctl ps, swarmctl service ps)"
            )
        }
    }
}

async fn watch(
    client: &Client,
    services: &[Awaited],
    args: &Args,
    shown: &mut Shown,
) -> anyhow::Result<()> {
    let deadline = Instant::now() + args.timeout;
    let mut good_since: Vec<Option<Instant>> = vec![None; services.len()];
    let mut trouble;
    let mut looks: Vec<Look> = Vec::new();
    loop {
        match look(client, services, args, &mut good_since).await {
            Ok(seen) => {
                (looks, trouble) = (seen, None);
                shown.show(&looks);
                let failed: Vec<&Look> =
                    looks.iter().filter(|l| l.state == State::Failed).collect();
                if !failed.is_empty() {
                    shown.end();
                    anyhow::bail!("{}", explained(client, &failed, "").await);
                }
                if looks.iter().all(|l| l.state == State::Converged) {
                    return Ok(());
                }
            }
            Err(error) if passes(&error) => trouble = Some(error),
            Err(error) => return Err(error.into()),
        }
        if Instant::now() >= deadline {
            shown.end();
            let after = format!(" after {}", humane(args.timeout));
            let late: Vec<&Look> = looks.iter().filter(|l| l.state != State::Converged).collect();
            let mut text = explained(client, &late, &after).await;
            if let Some(trouble) = trouble {
                text = format!("{text}\nthe cluster does not answer now: {trouble}");
            }
            anyhow::bail!("{}", text.trim_start());
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// A manager may just be changing, or this host's agent restarting: the cluster is asked again.
pub(crate) fn passes(error: &CallError) -> bool {
    match error {
        CallError::Refused { status, .. } => {
            status.is_server_error() || *status == StatusCode::REQUEST_TIMEOUT
        }
        CallError::Unreachable { .. } | CallError::Broken { .. } | CallError::Silent { .. } => true,
        CallError::Address(_) | CallError::Untrusted { .. } | CallError::Malformed { .. } => false,
    }
}

async fn look(
    client: &Client,
    services: &[Awaited],
    args: &Args,
    good_since: &mut [Option<Instant>],
) -> Result<Vec<Look>, CallError> {
    let mut looks = Vec::with_capacity(services.len());
    for (service, since) in services.iter().zip(good_since) {
        let path = format!("/services/{}/progress", encoded(&service.id));
        let progress: Progress = client.get(&path).await?;
        let good = progress.verdict == Verdict::Converged;
        *since = if good { since.or_else(|| Some(Instant::now())) } else { None };
        let state = state(service.goal, &progress, args.verify, *since);
        looks.push(Look { progress, state });
    }
    Ok(looks)
}

fn state(
    goal: Goal,
    progress: &Progress,
    verify: Option<Duration>,
    good_since: Option<Instant>,
) -> State {
    let update = progress.update.as_ref().map_or("", |u| u.state.as_str());
    let went_back = update.starts_with("rollback");
    match progress.verdict {
        Verdict::Paused | Verdict::GaveUp => State::Failed,
        Verdict::Waiting => State::Waiting,
        Verdict::Converged if goal == Goal::Spec && went_back => State::Failed,
        Verdict::Converged if progress.is_job => State::Converged,
        Verdict::Converged => {
            let asked = verify.unwrap_or(Duration::from_millis(progress.monitor_ms));
            // By the managers' clock, and by this one: they may differ.
            let seen = good_since.map_or(Duration::ZERO, |since| since.elapsed());
            let stable = seen.max(Duration::from_millis(progress.stable_for_ms));
            if stable >= asked { State::Converged } else { State::Verifying }
        }
    }
}

/// `90s`, `5m`.
fn humane(span: Duration) -> String {
    let nanos = i64::try_from(span.as_nanos()).unwrap_or(i64::MAX);
    compose::quantity::duration::text(nanos)
}

#[cfg(test)]
mod tests {
    use model::api::UpdateStatus;

    use super::*;

    fn progress(verdict: Verdict, update: &str) -> Progress {
        let update = UpdateStatus { state: update.to_owned(), ..UpdateStatus::default() };
        Progress { verdict, update: Some(update), monitor_ms: 5_000, ..Progress::default() }
    }

    #[test]
    fn going_back_is_what_a_rollback_wants_and_what_an_update_fears() {
        let back = progress(Verdict::Converged, "rollback_completed");
        let now = Some(Duration::ZERO);
        assert_eq!(state(Goal::Spec, &back, now, None), State::Failed);
        assert_eq!(state(Goal::Rollback, &back, now, None), State::Converged);
        assert_eq!(state(Goal::Rest, &back, now, None), State::Converged);
        let paused = progress(Verdict::Paused, "rollback_paused");
        assert_eq!(state(Goal::Rollback, &paused, now, None), State::Failed);
    }

    #[test]
    fn tasks_must_have_run_for_the_monitor_time() {
        let mut done = progress(Verdict::Converged, "completed");
        assert_eq!(state(Goal::Spec, &done, None, None), State::Verifying);
        assert_eq!(state(Goal::Spec, &done, Some(Duration::ZERO), None), State::Converged);
        done.stable_for_ms = 5_000;
        assert_eq!(state(Goal::Spec, &done, None, None), State::Converged);
        done.is_job = true;
        done.stable_for_ms = 0;
        assert_eq!(state(Goal::Spec, &done, None, None), State::Converged);
    }

    #[test]
    fn a_bare_number_means_seconds() {
        assert_eq!(span("90"), Ok(Duration::from_secs(90)));
        assert_eq!(span("1m30s"), Ok(Duration::from_secs(90)));
        assert!(span("soon").is_err() && span("-5s").is_err());
        assert_eq!(humane(Duration::from_secs(90)), "1m30s");
    }
}
