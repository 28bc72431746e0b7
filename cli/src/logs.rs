//! Prints what tasks wrote: `logs`, `service logs`.
//!
//! Lines are always asked for with their times, so that following goes on where it was when the
//! connection breaks: a manager may go, or this host's agent be replaced.

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use anstyle::{AnsiColor, Style};
use bytes::{Buf as _, Bytes, BytesMut};
use http::{Method, Response};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use model::api::{Node, Service, Task};

use crate::client::{Client, encoded};
use crate::commands::node::is_over;
use crate::commands::service::find;
use crate::commands::task::name_of;
use crate::wait::passes;

/// `swarmctl logs`
#[derive(Debug, clap::Args)]
pub struct LogsArgs {
    /// A service or a task
    #[arg(add = crate::names::of(crate::names::Kind::Task))]
    service: String,
    /// Go on printing as more is written
    #[arg(short, long)]
    follow: bool,
    /// Only the last lines of each task
    #[arg(short = 'n', long, default_value = "all")]
    tail: String,
    /// Only what is newer: a time (RFC 3339), or a span back from now as 10m; a bare number means
    /// seconds
    #[arg(long)]
    since: Option<String>,
    /// Begin each line with its time
    #[arg(short, long)]
    timestamps: bool,
    /// Only what tasks wrote, without their names
    #[arg(long)]
    raw: bool,
}

impl LogsArgs {
    /// All that a service's tasks wrote.
    #[must_use]
    pub fn of(service: &str) -> LogsArgs {
        LogsArgs {
            service: service.to_owned(),
            follow: false,
            tail: "all".to_owned(),
            since: None,
            timestamps: false,
            raw: false,
        }
    }
}

/// Runs it.
///
/// # Errors
/// Those of the calls, and when the stream breaks.
pub async fn run(client: &Client, args: &LogsArgs) -> anyhow::Result<()> {
    let (kind, id) = match find(client, &args.service).await {
        Ok(service) => ("services", service.id),
        Err(not_found) => {
            let path = format!("/tasks/{}", encoded(&args.service));
            match client.get::<Task>(&path).await {
                Ok(task) => ("tasks", task.id),
                Err(error) if error.is_not_found() => anyhow::bail!(
                    "there is no service or task {} (swarmctl service ls, swarmctl ps)",
                    args.service
                ),
                Err(_) => return Err(not_found),
            }
        }
    };
    let since = args.since.as_deref().map(since_text).transpose()?;
    let mut printer = Printer { names: Names::default(), places: Places::default(), args };
    printer.names.colour = std::io::stdout().is_terminal();
    let path = |since: Option<&str>, tail: &str| {
        let since = since.map(|at| format!("&since={}", encoded(at))).unwrap_or_default();
        format!(
            "/{kind}/{id}/logs?stdout=1&stderr=1&details=1&timestamps=1&follow={}&tail={}{since}",
            u8::from(args.follow),
            encoded(tail)
        )
    };
    let mut next = path(since.as_deref(), &args.tail);
    let mut broken_since: Option<Instant> = None;
    loop {
        let trouble = match client.send(Method::GET, &next, &[], Bytes::new()).await {
            Ok(answer) => {
                broken_since = None;
                match printer.print_all(client, answer).await {
                    Ok(()) if !args.follow || ended(client, kind, &id).await => return Ok(()),
                    Ok(()) => "the manager ended the connection".to_owned(),
                    Err(Stopped::Printing(error)) => return Err(error),
                    Err(Stopped::Reading(error)) if !args.follow => return Err(error.into()),
                    Err(Stopped::Reading(_)) => "the connection broke".to_owned(),
                }
            }
            Err(error) if args.follow && printer.places.any() && passes(&error) => {
                error.to_string().lines().next().unwrap_or_default().to_owned()
            }
            Err(error) => return Err(error.into()),
        };
        let since = match broken_since {
            Some(since) => since,
            None => {
                eprintln!("swarmctl: {trouble}; going on where it was");
                *broken_since.insert(Instant::now())
            }
        };
        anyhow::ensure!(since.elapsed() < PATIENCE, "{trouble}");
        tokio::time::sleep(AGAIN).await;
        printer.places.read_again();
        if let Some(at) = printer.places.since() {
            next = path(Some(&at), "all");
        }
    }
}

/// How long a cluster that does not answer is asked for more.
const PATIENCE: Duration = Duration::from_secs(60);

const AGAIN: Duration = Duration::from_millis(500);

/// Nothing more can come: the task has ended, or the service was removed.
async fn ended(client: &Client, kind: &str, id: &str) -> bool {
    if kind == "services" {
        let service = client.get::<Service>(&format!("/services/{id}")).await;
        return matches!(service, Err(error) if error.is_not_found());
    }
    match client.get::<Task>(&format!("/tasks/{id}")).await {
        Ok(task) => is_over(&task.status.state),
        Err(error) => error.is_not_found(),
    }
}

enum Stopped {
    Reading(hyper::Error),
    Printing(anyhow::Error),
}

/// Prints lines once each.
struct Printer<'a> {
    names: Names,
    places: Places,
    args: &'a LogsArgs,
}

impl Printer<'_> {
    async fn print_all(
        &mut self,
        client: &Client,
        answer: Response<Incoming>,
    ) -> Result<(), Stopped> {
        // A terminal's output comes without frames.
        let kind = answer.headers().get(http::header::CONTENT_TYPE);
        let raw = kind.is_some_and(|kind| kind == "application/vnd.docker.raw-stream");
        let mut body = answer.into_body();
        let mut buffer = BytesMut::new();
        while let Some(frame) = body.frame().await {
            if let Ok(data) = frame.map_err(Stopped::Reading)?.into_data() {
                buffer.extend_from_slice(&data);
            }
            let next =
                |buffer: &mut BytesMut| if raw { raw_line(buffer) } else { next_line(buffer) };
            while let Some((stream, line)) = next(&mut buffer) {
                self.print(client, stream, &line).await.map_err(Stopped::Printing)?;
            }
        }
        Ok(())
    }

    async fn print(&mut self, client: &Client, stream: u8, line: &[u8]) -> anyhow::Result<()> {
        let text = String::from_utf8_lossy(line);
        let line = Line::of(&text);
        if !self.places.passed(&line) {
            return Ok(());
        }
        let time = if self.args.timestamps { format!("{} ", line.time) } else { String::new() };
        let label =
            if self.args.raw { String::new() } else { self.names.label(client, &line).await };
        let end = if line.message.ends_with('\n') { "" } else { "\n" };
        let shown = format!("{time}{label}{}{end}", line.message);
        if stream == 2 {
            write!(std::io::stderr(), "{shown}")?;
        } else {
            crate::output::print(&shown)?;
        }
        Ok(())
    }
}

/// `time details message`.
#[derive(Debug, PartialEq, Eq)]
struct Line<'a> {
    time: &'a str,
    task: &'a str,
    node: &'a str,
    message: &'a str,
}

impl Line<'_> {
    fn of(text: &str) -> Line<'_> {
        let (time, rest) = text.split_once(' ').unwrap_or(("", text));
        let (details, message) = rest.split_once(' ').unwrap_or((rest, "\n"));
        let detail = |key: &str| {
            details
                .split(',')
                .find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='))
                .unwrap_or_default()
        };
        Line {
            time,
            task: detail("com.docker.swarm.task.id"),
            node: detail("com.docker.swarm.node.id"),
            message,
        }
    }
}

/// How far each task's log has been printed.
///
/// A log is in order by itself and its times are unique, down to the nanosecond; so of what is read
/// a second time, all that is not later than the last line has been printed.
#[derive(Default)]
struct Places {
    last: BTreeMap<String, String>,
    /// Those of the connection before, of tasks of which nothing new has come yet.
    before: BTreeMap<String, String>,
}

/// How much is read a second time: logs of different hosts do not come at the same moment.
const OVERLAP_S: i64 = 60;

/// How the managers begin a line of their own, which has their time.
const NOTE: &str = "(no log of ";

impl Places {
    /// True for a line that has not been printed, which from then on has.
    fn passed(&mut self, line: &Line<'_>) -> bool {
        if line.message.starts_with(NOTE) {
            return true;
        }
        if let Some(before) = self.before.get(line.task) {
            if line.time <= before.as_str() {
                return false;
            }
            self.before.remove(line.task);
        }
        match self.last.get_mut(line.task) {
            Some(last) => line.time.clone_into(last),
            None => drop(self.last.insert(line.task.to_owned(), line.time.to_owned())),
        }
        true
    }

    /// From here on, lines come a second time.
    fn read_again(&mut self) {
        self.before.clone_from(&self.last);
    }

    fn any(&self) -> bool {
        !self.last.is_empty()
    }

    /// From when to read again, as the API takes it.
    fn since(&self) -> Option<String> {
        let newest: jiff::Timestamp = self.last.values().max()?.parse().ok()?;
        Some((newest.as_second() - OVERLAP_S).to_string())
    }
}

/// A line of a terminal's output.
fn raw_line(buffer: &mut BytesMut) -> Option<(u8, Bytes)> {
    let end = buffer.iter().position(|byte| *byte == b'\n')?;
    Some((1, buffer.split_to(end + 1).freeze()))
}

/// Docker's frame: a stream's number, three zeros, a length, the bytes.
pub(crate) fn next_line(buffer: &mut BytesMut) -> Option<(u8, Bytes)> {
    let head = buffer.get(..8)?;
    let stream = head[0];
    let length = usize::try_from(u32::from_be_bytes([head[4], head[5], head[6], head[7]])).ok()?;
    if buffer.len() < 8 + length {
        return None;
    }
    buffer.advance(8);
    Some((stream, buffer.split_to(length).freeze()))
}

fn since_text(since: &str) -> anyhow::Result<String> {
    if since.parse::<f64>().is_ok() {
        let back: f64 = since.parse()?;
        let now = jiff::Timestamp::now().as_second();
        #[allow(clippy::cast_possible_truncation)] // whole seconds are meant
        return Ok((now - back as i64).to_string());
    }
    if let Ok(nanos) = compose::quantity::duration::parse(since) {
        return Ok((jiff::Timestamp::now().as_second() - nanos / 1_000_000_000).to_string());
    }
    let at: jiff::Timestamp = since.parse().map_err(|_| {
        let text = "is neither a time as 2026-01-31T12:00:00Z nor a span back as 10m";
        crate::BadInput(format!("--since {since} {text}"))
    })?;
    Ok(at.as_second().to_string())
}

/// Names of tasks and nodes that were looked up.
#[derive(Default)]
struct Names {
    tasks: BTreeMap<String, String>,
    /// Each task's name in a colour of its own.
    colour: bool,
}

/// The colour of a task: the same each time.
fn colour_of(name: &str) -> Style {
    const COLOURS: [AnsiColor; 6] = [
        AnsiColor::Cyan,
        AnsiColor::Yellow,
        AnsiColor::Green,
        AnsiColor::Magenta,
        AnsiColor::Blue,
        AnsiColor::BrightCyan,
    ];
    let sum = name.bytes().fold(0usize, |sum, byte| sum.wrapping_mul(31) + usize::from(byte));
    Style::new().fg_color(Some(COLOURS[sum % COLOURS.len()].into()))
}

impl Names {
    /// What stands in front of a task's lines.
    async fn label(&mut self, client: &Client, line: &Line<'_>) -> String {
        if !self.tasks.contains_key(line.task) {
            let name = self.look_up(client, line.task, line.node).await;
            self.tasks.insert(line.task.to_owned(), name);
        }
        let name = self.tasks.get(line.task).map_or("", String::as_str);
        let width = self.tasks.values().map(|name| name.chars().count()).max().unwrap_or(0);
        let style = if self.colour { colour_of(name) } else { Style::new() };
        format!("{style}{name:<width$} |{style:#} ")
    }

    async fn look_up(&self, client: &Client, task: &str, node: &str) -> String {
        let unnamed = || format!("{task}@{node}");
        let Ok(found) = client.get::<Task>(&format!("/tasks/{task}")).await else {
            return unnamed();
        };
        let service = client.get::<Service>(&format!("/services/{}", found.service_id)).await;
        let name = match &service {
            Ok(s) => name_of(&found, &BTreeMap::from([(s.id.as_str(), s.spec.name.as_str())])),
            Err(_) => return unnamed(),
        };
        let host = client.get::<Node>(&format!("/nodes/{node}")).await;
        format!("{name}@{}", host.map_or_else(|_| node.to_owned(), |n| n.description.hostname))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_cut_anywhere_are_whole_lines() {
        let mut buffer = BytesMut::new();
        let bytes =
            [&[1u8, 0, 0, 0, 0, 0, 0, 3][..], b"ab\n", &[2, 0, 0, 0, 0, 0, 0, 1], b"c"].concat();
        let mut lines = Vec::new();
        for byte in bytes {
            buffer.extend_from_slice(&[byte]);
            while let Some((stream, line)) = next_line(&mut buffer) {
                lines.push((stream, line.to_vec()));
            }
        }
        assert_eq!(lines, [(1, b"ab\n".to_vec()), (2, b"c".to_vec())]);
    }

    #[test]
    fn a_line_read_a_second_time_is_not_printed_again() {
        let details = |task: &str| {
            format!(
                "com.docker.swarm.node.id=n,com.docker.swarm.service.id=s,\
                     com.docker.swarm.task.id={task}"
            )
        };
        let text = |time: &str, task: &str| {
            format!("2026-11-21T09:41:{time}Z {} hello you\n", details(task))
        };
        let mut places = Places::default();
        let first = text("14.000000001", "a");
        assert_eq!(
            Line::of(&first),
            Line {
                time: "2026-11-21T09:41:14.000000001Z",
                task: "a",
                node: "n",
                message: "hello you\n"
            }
        );
        assert!(places.passed(&Line::of(&first)));
        assert!(places.passed(&Line::of(&text("13.000000000", "a"))), "its clock was set back");
        assert!(places.passed(&Line::of(&first)));
        places.read_again();
        assert!(!places.passed(&Line::of(&first)));
        assert!(places.passed(&Line::of(&text("13.000000000", "b"))), "a task of another host");
        assert!(places.passed(&Line::of(&text("14.000000002", "a"))));
        assert_eq!(places.since().as_deref(), Some("1795254014"));
    }

    #[test]
    fn a_terminal_s_output_is_cut_at_its_line_feeds() {
        let mut buffer = BytesMut::from(&b"one\ntw"[..]);
        assert_eq!(raw_line(&mut buffer), Some((1, Bytes::from_static(b"one\n"))));
        assert_eq!(raw_line(&mut buffer), None);
        buffer.extend_from_slice(b"o\r\n");
        assert_eq!(raw_line(&mut buffer), Some((1, Bytes::from_static(b"two\r\n"))));
    }
}
