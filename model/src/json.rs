//! Reads the JSON of requests as Docker's engine does, which is written in Go.
//!
//! To Go, null is the same as leaving a field out, and a key may be written in any case. Clients in
//! Python send both. Here as there, an array is never taken for an object ([`objects`]).

mod keys;
mod objects;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// What can be read from a request.
pub trait Readable: DeserializeOwned + JsonSchema + 'static {}

impl<T: DeserializeOwned + JsonSchema + 'static> Readable for T {}

/// Reads a value.
///
/// # Errors
/// What is no JSON, or no value of the type.
pub fn read<T: Readable>(text: &[u8]) -> Result<T, serde_json::Error> {
    let mut from = serde_json::Deserializer::from_slice(text);
    let as_written = objects::read(&mut from).and_then(|read| from.end().map(|()| read));
    let Ok(mut value) = serde_json::from_slice::<Value>(text) else { return as_written };
    let renamed = keys::rename::<T>(&mut value);
    match as_written {
        Ok(read) if renamed == 0 => Ok(read),
        Ok(_) => {
            drop_nulls(&mut value);
            objects::read(value)
        }
        // The first error says where.
        Err(refused) => {
            drop_nulls(&mut value);
            objects::read(value).map_err(|_| refused)
        }
    }
}

fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, value| !value.is_null());
            map.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::InitRequest;
    use crate::spec::{ConfigSpec, ServiceSpec};

    #[test]
    fn keys_are_read_in_any_case() {
        let text =
            br#"{"name": "web", "TASKTEMPLATE": {"containerSpec": {"HealthCheck": {"Retries": 3}}},
            "Mode": {"replicated": {"Replicas": 2}}, "RollbackConfig": {"order": "start-first"},
            "EndpointSpec": {"ports": [{"targetPort": 80}]}}"#;
        let spec: ServiceSpec = read(text).expect("a spec");
        assert_eq!(spec.name, "web");
        assert_eq!(spec.mode.replicated.and_then(|r| r.replicas), Some(2));
        assert!(spec.rollback_config.expect("given").starts_first());
        assert_eq!(spec.endpoint_spec.expect("given").ports[0].target_port, 80);
        let container = spec.task_template.container_spec.expect("given");
        assert!(container.healthcheck.is_some() && container.extra.is_empty());
        let config: ConfigSpec = read(br#"{"templating": {"name": "golang"}}"#).expect("a spec");
        assert_eq!(config.templating.expect("given").name, "golang");
    }

    #[test]
    fn names_that_users_choose_keep_their_case() {
        let text = br#"{"Labels": {"name": "a", "mode": "b"}, "labels": {"name": "c"},
            "TaskTemplate": {"ContainerSpec": {"labels": {"image": "d"}, "sysctls": {"env": "e"}}},
            "Unknown": {"name": "f"}}"#;
        let spec: ServiceSpec = read(text).expect("a spec");
        assert_eq!(spec.labels["name"], "a");
        assert_eq!(spec.labels["mode"], "b");
        let container = spec.task_template.container_spec.expect("given");
        assert_eq!(container.labels["image"], "d");
        assert_eq!(container.sysctls["env"], "e");
        assert_eq!(spec.extra["Unknown"]["name"], "f");
    }

    #[test]
    fn null_is_the_same_as_nothing() {
        let text = br#"{"Spec": {"Raft": {"SnapshotInterval": 5000, "ElectionTick": null},
            "Dispatcher": {"HeartbeatPeriod": null}, "Labels": null}, "SubnetSize": null}"#;
        let init: InitRequest = read(text).expect("a request");
        assert_eq!(init.spec.raft.snapshot_interval, 5000);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let error = read::<ServiceSpec>(br#"{"Name": 5, "labels": null}"#).expect_err("a number");
        assert!(error.to_string().contains("line 1 column"), "{error}");
        assert!(read::<ServiceSpec>(b"{").expect_err("cut off").is_eof());
    }
}
