//! What the simulated users ask for: services of any kind, and other words for one that is there.

use model::object::Service;
use model::spec::{NetworkAttachmentConfig, ServiceSpec};

use super::random::Random;

/// The service in a few words.
pub(super) fn shown(spec: &ServiceSpec) -> String {
    let mut words = vec![match spec.mode.kind() {
        model::spec::ModeKind::Replicated { replicas } => format!("{replicas} replicas"),
        model::spec::ModeKind::Global => "global".to_owned(),
        model::spec::ModeKind::ReplicatedJob { at_once, total } => {
            format!("job of {total}, {at_once} at once")
        }
        model::spec::ModeKind::GlobalJob => "global job".to_owned(),
    }];
    words.extend(spec.update_config.as_ref().map(|u| u.order.clone()).filter(|o| !o.is_empty()));
    if let Some(placement) = &spec.task_template.placement {
        words.extend(placement.constraints.iter().cloned());
        if placement.max_replicas > 0 {
            words.push(format!("at most {} on a node", placement.max_replicas));
        }
    }
    words.join(", ")
}

/// A service of any kind that a user could think of.
pub(super) fn new_service(chance: &mut Random, number: u64, others: &[&str]) -> ServiceSpec {
    let pick = |taken: bool, text: &str| if taken { text.to_owned() } else { String::new() };
    let job = chance.chance(10);
    let mode = match chance.range(0, 100) {
        0..35 if job => r#""GlobalJob":{}"#.to_owned(),
        _ if job => r#""ReplicatedJob":{"MaxConcurrent":2,"TotalCompletions":4}"#.to_owned(),
        0..20 => r#""Global":{}"#.to_owned(),
        _ => format!(r#""Replicated":{{"Replicas":{}}}"#, chance.range(1, 8)),
    };
    let image = match chance.range(0, 100) {
        0..25 if job => "job:slow",
        25..45 if job => "job:bad",
        _ if job => "job:0",
        0..8 => "app:bad",
        8..14 => "app:flaky",
        _ => "app:0",
    };
    let network = if chance.chance(10) { 3 } else { chance.range(1, 3) };
    let alias = pick(chance.chance(30), &format!(r#","Aliases":["a{number}"]"#));
    let order = if chance.chance(40) { "start-first" } else { "stop-first" };
    let update = if job || chance.chance(12) {
        String::new()
    } else {
        format!(r#","UpdateConfig":{{"Parallelism":1,"Order":"{order}"}}"#)
    };
    let back = match chance.range(0, 100) {
        _ if job || update.is_empty() => "",
        0..15 => r#","RollbackConfig":{"Parallelism":2,"Order":"stop-first","Delay":1000000000}"#,
        15..30 => {
            r#","RollbackConfig":{"Parallelism":3,"Order":"start-first","FailureAction":"continue"}"#
        }
        _ => "",
    };
    let secret =
        pick(chance.chance(40), r#","Secrets":[{"SecretName":"secret0","SecretID":"secret0"}]"#);
    let config =
        pick(chance.chance(20), r#","Configs":[{"ConfigName":"config0","ConfigID":"config0"}]"#);
    let checked = !job && chance.chance(50);
    let commands = pick(
        !job && chance.chance(15),
        r#","Engine":{"PostStart":[{"Command":["a"]},{"Command":["b"]}],"PreStop":[{"Command":["c"]}]}"#,
    );
    let health = pick(checked, r#","Healthcheck":{"Test":["CMD","/check"]}"#);
    let ports = match chance.range(0, 100) {
        0..37 => r#","EndpointSpec":{"Ports":[{"TargetPort":80}]}"#.to_owned(),
        37..45 => format!(
            r#","EndpointSpec":{{"Ports":[{{"TargetPort":80,"PublishedPort":{}}}]}}"#,
            8_080 + number % 2
        ),
        45..55 if !job => format!(
            r#","EndpointSpec":{{"Ports":[{{"TargetPort":80,"PublishedPort":{},"PublishMode":"host"}}]}}"#,
            9_000 + number % 3
        ),
        55..62 if !job => r#","EndpointSpec":{"Mode":"dnsrr"}"#.to_owned(),
        _ => String::new(),
    };
    let ports = if job { String::new() } else { ports };
    let (cpus, memory) = match chance.range(0, 100) {
        0..12 => (3_000_000_000u64, 0u64),
        12..18 => (5_000_000_000, 0),
        18..24 => (0, 6 << 30),
        _ => (200_000_000, 0),
    };
    let limited = match chance.range(0, 100) {
        _ if job && image == "job:bad" => {
            r#","RestartPolicy":{"Condition":"on-failure","MaxAttempts":1}"#
        }
        _ if job => "",
        0..10 => r#","RestartPolicy":{"Condition":"any","MaxAttempts":2}"#,
        10..18 => r#","RestartPolicy":{"Condition":"any","MaxAttempts":2,"Window":2000000000}"#,
        18..21 => r#","RestartPolicy":{"Condition":"on-failure","MaxAttempts":3}"#,
        21..24 => r#","RestartPolicy":{"Condition":"none"}"#,
        _ => "",
    };
    // Attempts are forgotten: of what ends now and then.
    let image = if limited.contains("Window") && chance.chance(60) { "app:flaky" } else { image };
    let limited = limited.to_owned();
    let slow = pick(
        !job && limited.is_empty() && chance.chance(15),
        r#","RestartPolicy":{"Condition":"any","Delay":1500000000}"#,
    );
    let restart = limited + &slow;
    let placement = match chance.range(0, 100) {
        0..15 => r#","Placement":{"Constraints":["node.labels.zone==a"]}"#,
        15..25 => r#","Placement":{"Constraints":["node.role!=manager"]}"#,
        25..33 => r#","Placement":{"MaxReplicas":1}"#,
        33..40 => r#","Placement":{"MaxReplicas":2}"#,
        40..45 => r#","Placement":{"Constraints":["node.labels.zone!=a"]}"#,
        45..50 => r#","Placement":{"Constraints":["node.role==worker","node.hostname!=w5"]}"#,
        65..70 => r#","Placement":{"Platforms":[{"Architecture":"amd64"},{"Architecture":"arm"}]}"#,
        50..65 => {
            r#","Placement":{"Preferences":[{"Spread":{"SpreadDescriptor":"node.labels.zone"}}]}"#
        }
        _ => "",
    };
    let grace = pick(chance.chance(20), r#","StopGracePeriod":3000000000"#);
    let before = dependencies(chance, others);
    let gpus = pick(
        chance.chance(10),
        r#","GenericResources":[{"DiscreteResourceSpec":{"Kind":"gpu","Value":1}}]"#,
    );
    // One with a published port and no network of its own is on the ingress network.
    let networks = if ports.contains("Ports") && !ports.contains("host") && chance.chance(50) {
        String::new()
    } else {
        format!(r#""Networks":[{{"Target":"net{network}"{alias}}}],"#)
    };
    let name = if job { format!("j{number}") } else { format!("s{number}") };
    let text = format!(
        r#"{{"Name":"{name}","TaskTemplate":{{
            "ContainerSpec":{{"Image":"{image}"{secret}{config}{health}{grace}{commands}}},
            {networks}
            "Resources":{{"Reservations":{{"NanoCPUs":{cpus},"MemoryBytes":{memory}{gpus}}}}}{restart}{placement}}},
            "Mode":{{{mode}}}{update}{back}{before}{ports}}}"#
    );
    serde_json::from_str(&text).expect("a service spec")
}

/// One or two services that come first, those that end well among them.
fn dependencies(chance: &mut Random, others: &[&str]) -> String {
    if !chance.chance(20) || others.is_empty() {
        return String::new();
    }
    let first = chance.index(others.len());
    let mut chosen = vec![others[first]];
    if chance.chance(40) && others.len() > 1 {
        chosen.push(others[(first + 1) % others.len()]);
    }
    let mut one = |other: &&str| {
        // Whoever waits for a job to be healthy may wait for ever.
        let second = if other.starts_with('j') { "completed_successfully" } else { "healthy" };
        let condition = ["started", second][chance.index(2)];
        format!(r#"{{"Service":"{other}","Condition":"service_{condition}","Optional":true}}"#)
    };
    let all: Vec<String> = chosen.iter().map(&mut one).collect();
    format!(r#","DependsOn":[{}]"#, all.join(","))
}

/// The service in other words: another network, other secrets, another place, another way to it.
pub(super) fn otherwise(chance: &mut Random, service: &Service) -> Option<(ServiceSpec, String)> {
    let mut spec = (*service.spec).clone();
    let name = &service.spec.name;
    let what = match chance.range(0, 6) {
        0 | 1 => {
            let network = format!("net{}", chance.range(1, 4));
            let what = format!("put {name} on {network} as well, or on it alone");
            let attached = NetworkAttachmentConfig { target: network, ..Default::default() };
            if chance.chance(50) {
                spec.task_template.networks.clear();
            }
            spec.task_template.networks.push(attached);
            what
        }
        2 => {
            let container = spec.task_template.container_spec.as_mut()?;
            let what = format!("give {name} another secret, or none");
            if container.secrets.pop().is_none() || chance.chance(50) {
                let secret = r#"{"SecretName":"secret1","SecretID":"secret1"}"#;
                container.secrets.push(serde_json::from_str(secret).expect("a secret"));
            }
            what
        }
        3 => {
            let placement = spec.task_template.placement.get_or_insert_default();
            let zone = ["a", "b"][chance.index(2)];
            placement.constraints =
                if chance.chance(50) { vec![format!("node.labels.zone!={zone}")] } else { vec![] };
            format!("allow {name} {:?} only", placement.constraints)
        }
        4 => {
            let endpoint = spec.endpoint_spec.get_or_insert_default();
            let way =
                if endpoint.is_dnsrr() || !endpoint.ports.is_empty() { "vip" } else { "dnsrr" };
            way.clone_into(&mut endpoint.mode);
            format!("lead to {name} by {way}")
        }
        _ => {
            let endpoint = spec.endpoint_spec.get_or_insert_default();
            if endpoint.ports.pop().is_none() {
                let port = r#"{"TargetPort":80}"#;
                endpoint.ports.push(serde_json::from_str(port).expect("a port"));
            }
            format!("publish {name}, or no more")
        }
    };
    Some((spec, what))
}
