//! The cluster's own spec.

use model::spec::ClusterSpec;
use serde_json::Value;

use super::Findings;
use crate::command::Refusal;

/// The shortest life of a node's certificate: Docker's.
const SHORTEST_CERTIFICATE: i64 = 3_600 * 1_000_000_000;

/// The shortest and the longest time between heartbeats, nanoseconds.
const HEARTBEATS: std::ops::RangeInclusive<i64> = 100_000_000..=60_000_000_000;

/// What is asked of certificates beyond their life.
const OF_OTHERS: [(&str, &str); 3] = [
    ("ExternalCAs", "an external certificate authority"),
    ("SigningCACert", "a certificate authority that is given"),
    ("SigningCAKey", "a certificate authority that is given"),
];

/// Judges the spec that is to follow `current`, if there is one.
///
/// # Errors
/// With every problem, or with what we do not do.
pub fn cluster(spec: &ClusterSpec, current: Option<&ClusterSpec>) -> Result<(), Refusal> {
    let asked = |name: &str| match spec.ca_config.extra.get(name) {
        None | Some(Value::Null) => false,
        Some(Value::String(text)) => !text.is_empty(),
        Some(Value::Array(all)) => !all.is_empty(),
        Some(_) => true,
    };
    if let Some((_, what)) = OF_OTHERS.iter().find(|(name, _)| asked(name)) {
        return Err(Refusal::NotImplemented { message: format!("{what} is not supported") });
    }
    let rotations = current.map_or(0, |current| current.ca_config.force_rotate);
    if spec.ca_config.force_rotate != rotations {
        let message = "rotating the cluster's certificate authority is not supported".to_owned();
        return Err(Refusal::NotImplemented { message });
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
            json!({"ForceRotate": 2}),
            json!({"ExternalCAs": [{"Protocol": "cfssl"}]}),
            json!({"SigningCACert": "-----BEGIN"}),
        ] {
            let refused = judged(json!({"CAConfig": ca}), json!({"CAConfig": {"ForceRotate": 1}}));
            assert!(matches!(refused, Err(Refusal::NotImplemented { .. })), "{ca} {refused:?}");
        }
        let same = json!({"CAConfig": {"ForceRotate": 1, "ExternalCAs": null}});
        judged(same.clone(), same).expect("nothing new is asked for");
    }
}
