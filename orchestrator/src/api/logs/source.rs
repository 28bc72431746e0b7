//! One task's log, from wherever its container is.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use model::object::Task;
use model::wire::session::StreamRequest;
use model::{NodeId, TaskId};
use tokio::sync::mpsc;

use super::Asked;
use super::lines::{Line, Splitter};
use crate::api::Api;
use crate::api::cluster::NodeStream;

/// Before a log that broke off is asked for again.
const RETRY: Duration = Duration::from_millis(500);

/// What comes from one task.
pub(super) enum Item {
    Line(Line),
    /// Why (some of) the log is missing, for people. Said once.
    Missing(String),
}

/// Where a task's log is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Source {
    pub(super) task: TaskId,
    pub(super) node: NodeId,
    pub(super) container: String,
    pub(super) terminal: bool,
}

impl Source {
    /// None while the task has no container.
    pub(super) fn of(task: &Arc<Task>, terminal: bool) -> Option<Source> {
        let container = task.status.container.as_ref().map(|c| c.id.clone());
        let container = container.filter(|id| !id.is_empty())?;
        Some(Source { task: task.id, node: task.node?, container, terminal })
    }

    /// Reads the log into `items` until it ends or nobody listens.
    ///
    /// When following, a log that breaks off is taken up again where it was, as long as the task
    /// may still run: a node that is away does not end anything.
    pub(super) async fn read(self, api: Api, asked: Asked, items: mpsc::Sender<Item>) {
        let mut after = asked.since.clone();
        let mut tail = asked.tail.clone();
        let mut told = false;
        loop {
            let broke = match self.open(&api, &asked, &after, &tail).await {
                Ok(Some(stream)) => {
                    tail = "all".to_owned();
                    match self.pass_on(stream.body, &mut after, &items).await {
                        Ok(true) => return,
                        Ok(false) => "the connection to its node ended".to_owned(),
                        Err(Gone) => return,
                    }
                }
                // The engine has no such container any more: nothing is missing that could come.
                Ok(None) => return,
                Err(why) => why,
            };
            if !told {
                told = true;
                if items.send(Item::Missing(broke)).await.is_err() {
                    return;
                }
            }
            if !asked.follow || !self.may_run(&api) {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(RETRY) => {}
                () = items.closed() => return,
            }
        }
    }

    /// Whether more of the log may come.
    fn may_run(&self, api: &Api) -> bool {
        let state = api.0.cluster.state();
        state.task(self.task).is_some_and(|t| !t.status.state.is_terminal())
    }

    async fn open(
        &self,
        api: &Api,
        asked: &Asked,
        after: &str,
        tail: &str,
    ) -> Result<Option<NodeStream>, String> {
        let yes = |flag| if flag { 1 } else { 0 };
        let mut path = format!(
            "/containers/{}/logs?stdout={}&stderr={}&follow={}&timestamps=1&tail={tail}",
            self.container,
            yes(asked.stdout),
            yes(asked.stderr),
            yes(asked.follow),
        );
        if !after.is_empty() {
            path.push_str("&since=");
            path.push_str(after);
        }
        let request = StreamRequest { method: "GET".to_owned(), path, headers: Vec::new() };
        let answer = api
            .0
            .cluster
            .open_stream(self.node, request, futures_util::stream::empty().boxed())
            .await;
        let stream = answer.map_err(|e| e.to_string())?;
        match stream.head.status {
            200..300 => Ok(Some(stream)),
            404 => Ok(None),
            status => Err(format!("its engine answered {status}")),
        }
    }

    /// Passes lines on; true when the log ended in order.
    async fn pass_on(
        &self,
        mut body: BoxStream<'static, std::io::Result<Bytes>>,
        after: &mut String,
        items: &mpsc::Sender<Item>,
    ) -> Result<bool, Gone> {
        let mut splitter = if self.terminal { Splitter::plain() } else { Splitter::framed() };
        loop {
            let next = tokio::select! {
                next = body.next() => next,
                () = items.closed() => return Err(Gone),
            };
            let (lines, ended) = match next {
                Some(Ok(bytes)) => match splitter.push(&bytes) {
                    Ok(lines) => (lines, None),
                    Err(_) => return Ok(false),
                },
                Some(Err(_)) => {
                    (std::mem::replace(&mut splitter, Splitter::framed()).finish(), Some(false))
                }
                None => (std::mem::replace(&mut splitter, Splitter::framed()).finish(), Some(true)),
            };
            for line in lines {
                if let Some(next) = just_after(&line.time) {
                    *after = next;
                }
                items.send(Item::Line(line)).await.map_err(|_| Gone)?;
            }
            if let Some(in_order) = ended {
                return Ok(in_order);
            }
        }
    }
}

/// Nobody listens any more.
struct Gone;

/// The engine's `since` for what comes after a line of this time: one nanosecond later.
fn just_after(time: &str) -> Option<String> {
    let moment: model::api::Moment = time.parse().ok()?;
    let decimals = time.split_once('.').map_or("0", |(_, d)| d.trim_end_matches('Z'));
    let nanos: u64 = format!("{decimals:0<9}").get(..9)?.parse().ok()?;
    let secs = moment.0.0 / 1_000;
    let (secs, nanos) = if nanos == 999_999_999 { (secs + 1, 0) } else { (secs, nanos + 1) };
    Some(format!("{secs}.{nanos:09}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_taken_up_one_nanosecond_later() {
        let after = |time| just_after(time).expect("a time");
        assert_eq!(after("2026-11-21T09:41:14.574573899Z"), "1795254074.574573900");
        assert_eq!(after("2026-11-21T09:41:14.999999999Z"), "1795254075.000000000");
    }
}
