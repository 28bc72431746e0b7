//! `events`: what happens in the cluster, and on this host's engine, as it happens.

use std::io::Write as _;

use bytes::Bytes;
use clap::Args;
use http::Method;
use http_body_util::BodyExt as _;
use model::api::Event;
use serde::Deserialize as _;
use serde_json::Value;

use super::common::filter;
use crate::client::{Client, encoded, filters};
use crate::output::template::{Row, Template};

/// `swarmctl events`
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    swarmctl events --filter type=service --filter type=node\n  \
    swarmctl events --since 10m --until 0s        what there was, without waiting for more\n  \
    swarmctl events --format '{{.Type}} {{.Action}} {{.Actor.Attributes.name}}'")]
pub struct EventsArgs {
    /// Begin with this time: seconds since 1970, RFC 3339, or a span back from now as 10m
    #[arg(long)]
    since: Option<String>,
    /// End with this time
    #[arg(long)]
    until: Option<String>,
    /// Only what matches, as type=service, event=update or service=web
    #[arg(short, long, value_name = "KEY=VALUE", value_parser = filter)]
    filter: Vec<(String, String)>,
    /// table, json (a line each), or a template as '{{.Type}} {{.Action}}'
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    format: EventFormat,
}

#[derive(Clone, Debug)]
enum EventFormat {
    Line,
    Json,
    Template(Template),
}

impl std::str::FromStr for EventFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "table" => Ok(EventFormat::Line),
            "json" => Ok(EventFormat::Json),
            text if text.contains("{{") => Template::parse(text).map(EventFormat::Template),
            _ => Err("table, json or a template as '{{.Type}}' is meant".to_owned()),
        }
    }
}

/// Runs it.
///
/// # Errors
/// Those of the call, and when the stream breaks.
pub async fn run(client: &Client, args: &EventsArgs) -> anyhow::Result<()> {
    let pairs = args.filter.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    let mut path = format!("/events?filters={}", filters(&pairs.collect::<Vec<_>>()));
    for (name, time) in [("since", &args.since), ("until", &args.until)] {
        if let Some(time) = time {
            path += &format!("&{name}={}", encoded(&moment(time)));
        }
    }
    let answer = client.send(Method::GET, &path, &[], Bytes::new()).await?;
    let mut body = answer.into_body();
    let mut buffer = Vec::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            buffer.extend_from_slice(&data);
        }
        for event in whole(&mut buffer)? {
            let line = shown(&event, &args.format)?;
            let mut out = std::io::stdout().lock();
            writeln!(out, "{line}").and_then(|()| out.flush())?;
        }
    }
    Ok(())
}

/// A span back from now as the time that it means: an engine takes no spans. Others as they are.
fn moment(text: &str) -> String {
    match compose::quantity::duration::parse(text) {
        Ok(nanos) if text.parse::<f64>().is_err() => {
            let back = jiff::SignedDuration::from_nanos(nanos);
            let at = jiff::Timestamp::now().checked_sub(back).unwrap_or_default();
            format!("{}.{:09}", at.as_second(), at.subsec_nanosecond())
        }
        Ok(_) | Err(_) => text.to_owned(),
    }
}

/// Takes the objects that have come whole.
fn whole(buffer: &mut Vec<u8>) -> anyhow::Result<Vec<Value>> {
    let mut stream = serde_json::Deserializer::from_slice(buffer).into_iter::<Value>();
    let mut events = Vec::new();
    let mut read = 0;
    loop {
        match stream.next() {
            Some(Ok(event)) => {
                events.push(event);
                read = stream.byte_offset();
            }
            Some(Err(e)) if e.is_eof() => break,
            Some(Err(e)) => return Err(e.into()),
            None => {
                read = buffer.len();
                break;
            }
        }
    }
    buffer.drain(..read);
    Ok(events)
}

fn shown(event: &Value, format: &EventFormat) -> anyhow::Result<String> {
    match format {
        EventFormat::Json => Ok(event.to_string()),
        EventFormat::Template(template) => {
            template.line(&Row { headings: &[], cells: &[], object: event })
        }
        EventFormat::Line => {
            let event = Event::deserialize(event)?;
            let at = jiff::Timestamp::from_nanosecond(event.time_nano.into())?;
            let attributes: Vec<String> = event
                .actor
                .attributes
                .iter()
                .map(|(key, value)| format!("{key}={value}"))
                .collect();
            Ok(format!(
                "{at:.9} {} {} {} ({})",
                event.r#type,
                event.action,
                event.actor.id,
                attributes.join(", ")
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_back_from_now_becomes_a_time_and_a_time_stays_what_it_is() {
        let seconds = |text: &str| moment(text).split('.').next().and_then(|s| s.parse().ok());
        let now = jiff::Timestamp::now().as_second();
        let hour_ago: i64 = seconds("1h").expect("a time");
        assert!((now - 3_600..now - 3_500).contains(&hour_ago), "{hour_ago}");
        for time in ["1795254014", "1795254014.5", "2026-11-21T09:41:14Z"] {
            assert_eq!(moment(time), time);
        }
    }

    #[test]
    fn events_cut_anywhere_are_whole_objects() {
        let text = br#"{"Type":"service","Action":"create","Actor":{"ID":"x","Attributes":{"name":"web"}},"time":1,"timeNano":1000000000}
        {"Type":"node"}"#;
        let mut buffer = Vec::new();
        let mut events = Vec::new();
        for byte in text {
            buffer.push(*byte);
            events.extend(whole(&mut buffer).expect("JSON"));
        }
        assert_eq!(events.len(), 2);
        let line = shown(&events[0], &EventFormat::Line).expect("an event");
        assert_eq!(line, "1970-01-01T00:00:01.000000000Z service create x (name=web)");
        let format = "{{.Type}}:{{.Actor.Attributes.name}}".parse().expect("a template");
        assert_eq!(shown(&events[0], &format).expect("an event"), "service:web");
        assert!("yaml".parse::<EventFormat>().is_err());
    }
}
