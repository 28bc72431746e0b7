//! Prints what tasks wrote: `logs`, `service logs`.

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write as _};

use anstyle::{AnsiColor, Style};
use bytes::{Buf as _, Bytes, BytesMut};
use http::Method;
use http_body_util::BodyExt as _;
use model::api::{Node, Service, Task};

use crate::client::{Client, encoded};
use crate::commands::service::find;
use crate::commands::task::name_of;

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
                Err(_) => return Err(not_found),
            }
        }
    };
    let mut path = format!(
        "/{kind}/{id}/logs?stdout=1&stderr=1&details={}&follow={}&timestamps={}&tail={}",
        u8::from(!args.raw),
        u8::from(args.follow),
        u8::from(args.timestamps),
        encoded(&args.tail)
    );
    if let Some(since) = &args.since {
        path += &format!("&since={}", encoded(&since_text(since)?));
    }
    let colour = std::io::stdout().is_terminal();
    let mut names = Names { colour, ..Names::default() };
    let answer = client.send(Method::GET, &path, &[], Bytes::new()).await?;
    let mut body = answer.into_body();
    let mut buffer = BytesMut::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            buffer.extend_from_slice(&data);
        }
        while let Some((stream, line)) = next_line(&mut buffer) {
            let text = String::from_utf8_lossy(&line);
            let shown =
                if args.raw { text.into_owned() } else { names.label(client, &text, args).await };
            let shown = if shown.ends_with('\n') { shown } else { shown + "\n" };
            if stream == 2 {
                write!(std::io::stderr(), "{shown}")?;
            } else {
                crate::output::print(&shown)?;
            }
        }
    }
    Ok(())
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
    /// A line `[timestamp ]details message` with its task's name in front.
    async fn label(&mut self, client: &Client, line: &str, args: &LogsArgs) -> String {
        let (time, rest) = if args.timestamps {
            line.split_once(' ').map_or(("", line), |(time, rest)| (time, rest))
        } else {
            ("", line)
        };
        let (details, message) = rest.split_once(' ').unwrap_or((rest, "\n"));
        let detail = |key: &str| {
            details
                .split(',')
                .find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='))
                .unwrap_or_default()
        };
        let task = detail("com.docker.swarm.task.id");
        if !self.tasks.contains_key(task) {
            let name = self.look_up(client, task, detail("com.docker.swarm.node.id")).await;
            self.tasks.insert(task.to_owned(), name);
        }
        let name = self.tasks.get(task).map_or("", String::as_str);
        let space = if time.is_empty() { "" } else { " " };
        let width = self.tasks.values().map(|name| name.chars().count()).max().unwrap_or(0);
        let style = if self.colour { colour_of(name) } else { Style::new() };
        format!("{time}{space}{style}{name:<width$} |{style:#} {message}")
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
}
