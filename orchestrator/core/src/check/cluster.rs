//! The cluster's own spec.

use model::spec::ClusterSpec;
use serde_json::Value;

use super::Findings;
use crate::command::Refusal;

/// The shortest life of a node's certificate: Docker's.
const SHORTEST_CERTIFICATE: i64 = 3_600 * 1_000_000_000;

/// The shortest and the longest time between heartbeats, nanoseconds.
const HEARTBEATS: std::ops::RangeInclusive<i64> = 100_000_000..=60_000_000_000;

/// Judges the spec that is to follow `current`, if there is one. Whether an authority that it gives
/// can be used is judged by who can read certificates.
///
/// # Errors
/// With every problem, or with what we do not do.
pub fn cluster(spec: &ClusterSpec, current: Option<&ClusterSpec>) -> Result<(), Refusal> {
    let external = match spec.ca_config.extra.get("ExternalCAs") {
        None | Some(Value::Null) => false,
        Some(Value::Array(all)) => !all.is_empty(),
        Some(_) => true,
    };
    let unsupported = |what: &str| {
        let message = format!("{what} is not supported");
        Err(Refusal::NotImplemented { message })
    };
    if external {
        return unsupported("an external certificate authority");
    }
    let ca = &spec.ca_config;
    if current.is_none() && !(ca.signing_ca_cert.is_empty() && ca.signing_ca_key.is_empty()) {
        return unsupported(
            "starting a cluster with a given certificate authority (rotate to it afterwards)",
        );
    }
    let mut found = Findings::default();
    if !matches!(spec.name.as_str(), "" | "default") {
        found.problem("swarm spec must be named \"default\"");
    }
    let life = spec.ca_config.node_cert_expiry;
    if life != 0 && life < SHORTEST_CERTIFICATE {
        found.problem("CAConfig.NodeCertExpiry: at least 1 hour (3600000000000), or 0 for 90 days");
    }
    let period = spec.dispatcher.heartbeat_period;
    if period != 0 && !HEARTBEATS.contains(&period) {
        found.problem(
            "Dispatcher.HeartbeatPeriod: from 100 ms to 60 s in nanoseconds, or 0 for 500 ms",
        );
    }
    if spec.orchestration.task_history_retention_limit.is_some_and(|limit| limit < 0) {
        found.problem("Orchestration.TaskHistoryRetentionLimit: 0 or more");
    }
    found.verdict(()).map(|_| ())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn judged(spec: Value, current: Value) -> Result<(), Refusal> {
        let read = |spec| serde_json::from_value::<ClusterSpec>(spec).expect("a spec");
        cluster(&read(spec), Some(&read(current)))
    }

    #[test]
    fn what_docker_sends_is_fine_and_every_problem_is_named() {
        let usual = json!({
            "Name": "default", "Labels": {}, "Orchestration": {"TaskHistoryRetentionLimit": 5},
            "Dispatcher": {"HeartbeatPeriod": 5_000_000_000_i64},
            "CAConfig": {"NodeCertExpiry": 7_776_000_000_000_000_i64},
        });
        judged(usual, json!({})).expect("the usual");
        let wrong = json!({
            "Name": "mine", "Orchestration": {"TaskHistoryRetentionLimit": -1},
            "Dispatcher": {"HeartbeatPeriod": 1}, "CAConfig": {"NodeCertExpiry": -5},
        });
        let Err(Refusal::Invalid { problems }) = judged(wrong, json!({})) else {
            panic!("it was accepted")
        };
        assert_eq!(problems.len(), 4, "{problems:?}");
    }

    #[test]
    fn what_is_not_done_is_refused() {
        for ca in [
            json!({"ForceRotate": 2, "ExternalCAs": [{"Protocol": "cfssl"}]}),
            json!({"ExternalCAs": "cfssl"}),
        ] {
            let refused = judged(json!({"CAConfig": ca}), json!({"CAConfig": {"ForceRotate": 1}}));
            assert!(matches!(refused, Err(Refusal::NotImplemented { .. })), "{ca} {refused:?}");
        }
        let given: ClusterSpec =
            serde_json::from_value(json!({"CAConfig": {"SigningCACert": "-----BEGIN"}}))
                .expect("a spec");
        let refused = cluster(&given, None);
        assert!(matches!(refused, Err(Refusal::NotImplemented { .. })), "{refused:?}");
        let same = json!({"CAConfig": {"ForceRotate": 1, "ExternalCAs": null}});
        judged(same.clone(), same).expect("nothing new is asked for");
    }
}
