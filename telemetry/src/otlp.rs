//! Spans as OTLP's JSON: <https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding>.
//!
//! Ids are hexadecimal, 64-bit numbers are text, enumerations are numbers: as the specification has it.

use std::time::{SystemTime, UNIX_EPOCH};

use data_encoding::HEXLOWER;
use serde_json::{Value as Json, json};

use crate::span::{Told, Value};

/// OTLP's code for a status that is an error.
const ERROR: u8 = 2;

/// The body of one `POST /v1/traces`.
pub(crate) fn body(resource: &[(&'static str, String)], spans: &[Told]) -> Json {
    let mut scopes: Vec<(&'static str, Vec<Json>)> = Vec::new();
    for told in spans {
        match scopes.iter_mut().find(|(name, _)| *name == told.scope) {
            Some((_, spans)) => spans.push(span(told)),
            None => scopes.push((told.scope, vec![span(told)])),
        }
    }
    let version = env!("CARGO_PKG_VERSION");
    let scopes: Vec<Json> = scopes
        .into_iter()
        .map(|(name, spans)| json!({"scope": {"name": name, "version": version}, "spans": spans}))
        .collect();
    let resource: Vec<Json> =
        resource.iter().map(|(key, text)| pair(key, &Value::Text(text.clone()))).collect();
    json!({"resourceSpans": [{"resource": {"attributes": resource}, "scopeSpans": scopes}]})
}

fn span(told: &Told) -> Json {
    let attributes: Vec<Json> =
        told.attributes.iter().map(|(key, value)| pair(key, value)).collect();
    let mut span = json!({
        "traceId": HEXLOWER.encode(&told.context.trace),
        "spanId": HEXLOWER.encode(&told.context.span),
        "name": told.name,
        "kind": told.kind as u8,
        "startTimeUnixNano": nanoseconds(told.began),
        "endTimeUnixNano": nanoseconds(told.ended),
        "attributes": attributes,
    });
    if let Some(parent) = told.parent {
        span["parentSpanId"] = json!(HEXLOWER.encode(&parent));
    }
    if let Some(why) = &told.error {
        span["status"] = json!({"code": ERROR, "message": why});
    }
    span
}

fn pair(key: &str, value: &Value) -> Json {
    let value = match value {
        Value::Text(text) => json!({"stringValue": text}),
        Value::Number(number) => json!({"intValue": number.to_string()}),
    };
    json!({"key": key, "value": value})
}

fn nanoseconds(at: SystemTime) -> String {
    at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos()).to_string()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::context::Context;
    use crate::span::Kind;

    #[test]
    fn a_span_is_written_as_the_specification_has_it() {
        let began = UNIX_EPOCH + Duration::from_nanos(1_544_712_660_000_000_001);
        let told = Told {
            scope: "agent",
            context: Context { trace: [0xab; 16], span: [1; 8] },
            parent: Some([2; 8]),
            name: "engine create".to_owned(),
            kind: Kind::Client,
            began,
            ended: began + Duration::from_millis(5),
            attributes: vec![("swarm.task.id", "t1".into()), ("n", 3u64.into())],
            error: Some("no such image".to_owned()),
        };
        let body = body(&[("service.name", "swarmctl-agent".to_owned())], &[told.clone(), told]);
        let scope = &body["resourceSpans"][0]["scopeSpans"];
        assert_eq!(scope.as_array().map(Vec::len), Some(1), "spans of one scope stand together");
        assert_eq!(
            body["resourceSpans"][0]["resource"]["attributes"][0],
            json!({"key": "service.name", "value": {"stringValue": "swarmctl-agent"}})
        );
        assert_eq!(
            scope[0]["spans"][1],
            json!({
                "traceId": "abababababababababababababababab",
                "spanId": "0101010101010101",
                "parentSpanId": "0202020202020202",
                "name": "engine create",
                "kind": 3,
                "startTimeUnixNano": "1544712660000000001",
                "endTimeUnixNano": "1544712660005000001",
                "attributes": [
                    {"key": "swarm.task.id", "value": {"stringValue": "t1"}},
                    {"key": "n", "value": {"intValue": "3"}},
                ],
                "status": {"code": 2, "message": "no such image"},
            })
        );
    }
}
