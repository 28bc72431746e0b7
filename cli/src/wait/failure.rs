//! Says why services have not converged: each task's reason, and what the failed ones wrote last.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::Method;
use http_body_util::BodyExt as _;
use model::api::{FailedTask, Progress, Verdict, WaitingTask};

use super::Look;
use crate::ago::ago_within;
use crate::client::Client;
use crate::logs::next_line;

/// Lines of its log that are shown of a failed task.
const LINES: usize = 10;

/// Failed tasks whose log is shown, of each service.
const TASKS: usize = 2;

/// Longest wait for a log: its node may be the reason of it all.
const LOG_TIMEOUT: Duration = Duration::from_secs(3);

/// The whole message.
pub(super) async fn explained(client: &Client, looks: &[&Look], after: &str) -> String {
    let mut text = String::new();
    for look in looks {
        let progress = &look.progress;
        text += &headline(progress, after);
        for line in reasons(progress) {
            text += &format!("\n  {line}");
        }
        for (i, failed) in progress.failures.iter().enumerate() {
            text += &format!("\n  {}", failure(failed));
            if i < TASKS {
                for line in last_lines(client, &failed.task_id).await {
                    text += &format!("\n    | {line}");
                }
            }
        }
        text.push('\n');
    }
    let names: Vec<&str> = looks.iter().map(|l| l.progress.name.as_str()).take(1).collect();
    if let Some(name) = names.first() {
        text += &format!("more: swarmctl explain service {name}; swarmctl service logs {name}");
    }
    text
}

fn headline(progress: &Progress, after: &str) -> String {
    let Progress { name, done, wanted, .. } = progress;
    let verb = if progress.is_job { "completed" } else { "run as asked" };
    let count = format!("{done} of {wanted} tasks {verb}");
    let update = progress.update.as_ref();
    let said = update.map_or("", |u| u.message.as_str());
    match progress.verdict {
        Verdict::Paused => format!(
            "{name}: the {} is paused, {count}: {said}",
            if update.is_some_and(|u| u.state.starts_with("rollback")) {
                "rollback"
            } else {
                "update"
            }
        ),
        Verdict::GaveUp => format!("{name}: given up, {count}"),
        Verdict::Converged if said.is_empty() => {
            format!("{name}: {count}, but not for long{after}")
        }
        Verdict::Converged => format!("{name}: was rolled back, {count}: {said}"),
        Verdict::Waiting => format!("{name}: not converged{after}, {count}"),
    }
}

/// What waits, one line for each task, those with a reason of their own first.
fn reasons(progress: &Progress) -> Vec<String> {
    progress.waiting.iter().map(waiting).collect()
}

/// `web.2 on w1: pending: no suitable node (…)`
pub(super) fn waiting(task: &WaitingTask) -> String {
    let name = short_name(&task.name, &task.task_id);
    let place = if task.node.is_empty() { String::new() } else { format!(" on {}", task.node) };
    let why = if task.text == task.state { String::new() } else { format!(": {}", task.text) };
    format!("{name}{place}: {}{why}", task.state)
}

fn failure(task: &FailedTask) -> String {
    let name = short_name(&task.name, &task.task_id);
    let place = if task.node.is_empty() { String::new() } else { format!(" on {}", task.node) };
    let code = match task.exit_code {
        0 => String::new(),
        code if task.text.contains(&code.to_string()) => String::new(),
        code => format!(" (exit code {code})"),
    };
    format!("{name}{place}: {} {}: {}{code}", task.state, ago_within(task.at), task.text)
}

/// `web.2` of `web.2.task-id`.
fn short_name<'a>(name: &'a str, id: &str) -> &'a str {
    name.strip_suffix(id).map_or(name, |name| name.trim_end_matches('.'))
}

/// What a task wrote last; nothing when that cannot be found out in time.
async fn last_lines(client: &Client, task: &str) -> Vec<String> {
    let path = format!("/tasks/{task}/logs?stdout=1&stderr=1&tail={LINES}");
    let read = async {
        let answer = client.send(Method::GET, &path, &[], Bytes::new()).await.ok()?;
        let mut buffer = BytesMut::from(&answer.into_body().collect().await.ok()?.to_bytes()[..]);
        let mut lines = Vec::new();
        while let Some((_, line)) = next_line(&mut buffer) {
            lines.push(String::from_utf8_lossy(&line).trim_end().to_owned());
        }
        Some(lines)
    };
    tokio::time::timeout(LOG_TIMEOUT, read).await.ok().flatten().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_named_as_users_name_it() {
        assert_eq!(short_name("web.2.abc", "abc"), "web.2");
        assert_eq!(short_name("web.2", "abc"), "web.2");
        let task = WaitingTask {
            task_id: "abc".to_owned(),
            name: "web.2.abc".to_owned(),
            state: "pending".to_owned(),
            text: "no suitable node".to_owned(),
            ..WaitingTask::default()
        };
        assert_eq!(waiting(&task), "web.2: pending: no suitable node");
    }
}
