//! The defaults that Docker's engine shows with `insertDefaults=true`. They are never stored.

use model::spec::{
    DEFAULT_MONITOR, DnsConfig, EndpointSpec, Protocol, PublishMode, ResourceRequirements,
    RestartPolicy, ServiceSpec, UpdateConfig,
};

const SECOND: i64 = 1_000_000_000;

/// The spec with every default spelled out.
pub(in crate::api) fn with_defaults(spec: &ServiceSpec) -> ServiceSpec {
    let mut spec = spec.clone();
    let is_job = spec.mode.replicated_job.is_some() || spec.mode.global_job.is_some();
    if let Some(container) = &mut spec.task_template.container_spec {
        container.stop_grace_period.get_or_insert(10 * SECOND);
        container.dns_config.get_or_insert_with(DnsConfig::default);
        if container.isolation.is_empty() {
            container.isolation = "default".to_owned();
        }
    }
    if spec.task_template.runtime.is_empty() {
        spec.task_template.runtime = "container".to_owned();
    }
    spec.task_template.resources.get_or_insert_with(ResourceRequirements::default);
    let restart = spec.task_template.restart_policy.get_or_insert_with(RestartPolicy::default);
    if restart.condition.is_empty() {
        restart.condition = if is_job { "on-failure" } else { "any" }.to_owned();
    }
    restart.delay.get_or_insert(5 * SECOND);
    restart.max_attempts.get_or_insert(0);
    spec.update_config = Some(filled(spec.update_config.take()));
    spec.rollback_config = Some(filled(spec.rollback_config.take()));
    let endpoint = spec.endpoint_spec.get_or_insert_with(EndpointSpec::default);
    if endpoint.mode.is_empty() {
        endpoint.mode = "vip".to_owned();
    }
    for port in &mut endpoint.ports {
        if port.protocol == Protocol::Unset {
            port.protocol = Protocol::Tcp;
        }
        if port.publish_mode == PublishMode::Unset {
            port.publish_mode = PublishMode::Ingress;
        }
    }
    spec
}

fn filled(config: Option<UpdateConfig>) -> UpdateConfig {
    let mut config = config.unwrap_or_else(UpdateConfig::absent);
    if config.failure_action.is_empty() {
        config.failure_action = "pause".to_owned();
    }
    if config.monitor <= 0 {
        config.monitor = i64::try_from(DEFAULT_MONITOR.0).unwrap_or(5_000) * 1_000_000;
    }
    if config.order.is_empty() {
        config.order = "stop-first".to_owned();
    }
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_spec_shows_dockers_defaults() {
        let spec = ServiceSpec {
            task_template: model::spec::TaskSpec {
                container_spec: Some(model::spec::ContainerSpec::default()),
                ..Default::default()
            },
            ..Default::default()
        };
        let shown = serde_json::to_value(with_defaults(&spec)).expect("a spec is JSON");
        let update = serde_json::json!({
            "Parallelism": 1, "FailureAction": "pause", "Monitor": 5 * SECOND,
            "MaxFailureRatio": 0.0, "Order": "stop-first",
        });
        assert_eq!(shown["UpdateConfig"], update);
        assert_eq!(shown["RollbackConfig"], update);
        assert_eq!(shown["EndpointSpec"]["Mode"], "vip");
        assert_eq!(
            shown["TaskTemplate"]["RestartPolicy"],
            serde_json::json!({"Condition": "any", "Delay": 5 * SECOND, "MaxAttempts": 0})
        );
        assert_eq!(shown["TaskTemplate"]["ContainerSpec"]["StopGracePeriod"], 10 * SECOND);
    }
}
