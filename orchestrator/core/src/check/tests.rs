//! What is refused, in Docker's words; what is stored; what is said as a warning.

use crate::command::{Command, Refusal};
use crate::test_kit::{World, web};
use model::spec::ServiceSpec;

fn judge(world: &World, spec: &str) -> Result<super::Checked<ServiceSpec>, Refusal> {
    let spec: ServiceSpec = serde_json::from_str(spec).expect("a spec");
    super::service(&world.state, &spec, None)
}

#[test]
fn every_problem_of_a_service_is_named_at_once_in_dockers_words() {
    let world = World::with_workers(0);
    for (spec, message) in [
        (
            r#"{"Name":"x","TaskTemplate":{"ContainerSpec":{}}}"#,
            "ContainerSpec: image reference must be provided",
        ),
        (
            r#"{"Name":"x","TaskTemplate":{"ContainerSpec":{"Image":"Web:1"}}}"#,
            "ContainerSpec: \"Web:1\" is not a valid repository/tag",
        ),
        (
            r#"{"Name":"bad name","TaskTemplate":{"ContainerSpec":{"Image":"i"}}}"#,
            "name must be valid as a DNS name component",
        ),
        (
            r#"{"Name":"x","TaskTemplate":{"ContainerSpec":{"Image":"i"},"Placement":{"Constraints":["bogus"]}}}"#,
            "constraint expected one operator from ==, !=",
        ),
        (
            r#"{"Name":"x","TaskTemplate":{"ContainerSpec":{"Image":"i"},"Networks":[{"Target":"nonet"}]}}"#,
            "network nonet not found",
        ),
        (
            r#"{"Name":"x","TaskTemplate":{"ContainerSpec":{"Image":"i","Secrets":[{"SecretID":"abc","SecretName":"abc"}]}}}"#,
            "secret not found: abc",
        ),
        (
            r#"{"Name":"x","TaskTemplate":{"ContainerSpec":{"Image":"i"}},"Mode":{"ReplicatedJob":{}},"UpdateConfig":{}}"#,
            "Jobs may not have an update config",
        ),
        (
            r#"{"Name":"x","TaskTemplate":{"ContainerSpec":{"Image":"i"}},"Mode":{"Global":{},"Replicated":{}}}"#,
            "must specify only one service mode",
        ),
        (
            r#"{"Name":"x","TaskTemplate":{"ContainerSpec":{"Image":"i","Mounts":[{"Target":"/a"},{"Target":"/a"}]}}}"#,
            "ContainerSpec: duplicate mount point: /a",
        ),
        (
            r#"{"Name":"x","TaskTemplate":{"ContainerSpec":{"Image":"i"},"Resources":{"Limits":{"MemoryBytes":1000}}}}"#,
            "invalid memory value 1000: Must be at least 4MiB",
        ),
        (
            r#"{"Name":"x","TaskTemplate":{"ContainerSpec":{"Image":"i"}},"EndpointSpec":{"Mode":"dnsrr","Ports":[{"TargetPort":80}]}}"#,
            "EndpointSpec: port published with ingress mode can't be used with dnsrr mode",
        ),
        (
            r#"{"Name":"-","TaskTemplate":{"ContainerSpec":{}}}"#,
            "name must be valid as a DNS name component; ContainerSpec: image reference must be provided",
        ),
    ] {
        assert_eq!(judge(&world, spec).expect_err(spec).to_string(), message);
    }
}

#[test]
fn images_are_taken_as_engines_take_them() {
    let world = World::with_workers(0);
    for image in [
        "nginx",
        "a/b/c:1.2",
        "127.0.0.1:5000/demo/web:2",
        "reg.example.com/x@sha256:ab",
        "localhost:5000/x",
        "ubuntu:22.04@sha256:0123",
    ] {
        let spec =
            format!(r#"{{"Name":"x","TaskTemplate":{{"ContainerSpec":{{"Image":"{image}"}}}}}}"#);
        assert!(judge(&world, &spec).is_ok(), "{image}");
    }
}

#[test]
fn a_port_of_another_service_is_refused_with_its_name() {
    let mut world = World::with_workers(0);
    let port = r#""TaskTemplate":{"ContainerSpec":{"Image":"i"}},
        "EndpointSpec":{"Ports":[{"TargetPort":80,"PublishedPort":8080}]}"#;
    let id = world.create(&format!(r#"{{"Name":"web",{port}}}"#));
    let refused = judge(&world, &format!(r#"{{"Name":"dp",{port}}}"#)).expect_err("taken");
    let message =
        format!("port '8080' is already in use by service 'web' ({id}) as an ingress port");
    assert_eq!(refused.to_string(), message);
    let again = judge(&world, &web(1)).expect_err("the name is taken");
    assert_eq!(
        again.to_string(),
        "name conflicts with an existing object: service web already exists"
    );
}

#[test]
fn what_clients_rely_on_is_filled_in_and_names_become_ids() {
    let mut world = World::with_workers(0);
    let network = serde_json::from_str(r#"{"Name":"net"}"#).expect("a spec");
    world.client(Command::CreateNetwork { spec: Box::new(network) }).expect("a network");
    let checked = judge(
        &world,
        r#"{"Name":"x","TaskTemplate":{"ContainerSpec":{"Image":"i"},"Odd":1},
            "Mode":{"Replicated":{}},"Networks":[{"Target":"net"},{"Target":"host"}]}"#,
    );
    let checked = checked.expect("good");
    assert_eq!(checked.spec.mode.replicated.expect("set").replicas, Some(1));
    let id = world.state.network_named("net").expect("there").id.to_string();
    let targets: Vec<_> = checked.spec.networks.iter().map(|n| &n.target).collect();
    assert_eq!(targets, [&id, "host"], "they stay where the client has put them");
    assert!(checked.spec.task_template.networks.is_empty());
    assert_eq!(checked.warnings, ["TaskTemplate: Odd is not supported and has no effect"]);
}

#[test]
fn there_is_one_ingress_network_and_it_stays_while_a_service_needs_it() {
    let mut world = World::with_workers(1);
    let create = |world: &mut World, spec: &str| {
        let spec = serde_json::from_str(spec).expect("a spec");
        world.client(Command::CreateNetwork { spec: Box::new(spec) })
    };
    let old = world.state.ingress_network().expect("made at bootstrap").clone();
    let refused = create(&mut world, r#"{"Name":"other","Ingress":true}"#).expect_err("a second");
    let words = format!("ingress network ({}) is already present", old.id);
    assert_eq!(refused, Refusal::Exists { message: words });

    let publishes = r#"{"Name":"web","TaskTemplate":{"ContainerSpec":{"Image":"web:1"}},
        "EndpointSpec":{"Ports":[{"TargetPort":80,"PublishedPort":8080}]}}"#;
    let web = world.create(publishes);
    world.settle();
    let remove = Command::RemoveNetwork { id: old.id };
    let refused = world.client(remove.clone()).expect_err("it is in use");
    let words = format!("ingress network cannot be removed because service {web} depends on it");
    assert_eq!(refused.to_string(), words);

    world.remove("web");
    world.settle();
    world.client(remove).expect("nobody needs it");
    assert_eq!(
        judge(&world, publishes).expect_err("there is none").to_string(),
        "service needs ingress network, but no ingress network is present"
    );
    let attachable = r#"{"Name":"gate","Ingress":true,"Attachable":true}"#;
    let refused = create(&mut world, attachable).expect_err("not both");
    assert_eq!(refused.to_string(), "ingress network cannot be attachable");
    create(&mut world, r#"{"Name":"gate","Ingress":true}"#).expect("there is none");
    world.create(publishes);
    world.settle();
    let gate = world.state.network_named("gate").expect("made").id;
    assert_eq!(world.newest("web", 1).attachments[0].network, gate);
}

#[test]
fn secrets_and_configs_take_equal_data_and_new_labels_only() {
    let mut world = World::with_workers(0);
    let spec = |data: &str| {
        let text = format!(r#"{{"Name":"pw","Labels":{{"a":"{data}"}},"Data":"{data}"}}"#);
        Box::new(serde_json::from_str::<model::spec::SecretSpec>(&text).expect("a spec"))
    };
    world.client(Command::CreateSecret { spec: spec("eHh4") }).expect("a secret");
    let secret = world.state.secret_named("pw").expect("there").clone();
    let (id, version) = (secret.id, secret.meta.version);
    let other = world.client(Command::UpdateSecret { id, version, spec: spec("eHg=") });
    assert_eq!(other.expect_err("data").to_string(), "only updates to Labels are allowed");
    world.client(Command::UpdateSecret { id, version, spec: spec("eHh4") }).expect("equal data");
    let stale = world.client(Command::UpdateSecret { id, version, spec: spec("eHh4") });
    assert_eq!(stale.expect_err("old version").to_string(), "update out of sequence");
    let taken = world.client(Command::CreateSecret { spec: spec("eHh4") });
    assert_eq!(taken.expect_err("taken").to_string(), "secret pw already exists");
}

#[test]
fn services_that_wait_for_each_other_are_refused() {
    let mut world = World::with_workers(0);
    world.create(
        r#"{"Name":"a","TaskTemplate":{"ContainerSpec":{"Image":"i"}},"DependsOn":[{"Service":"b"}]}"#,
    );
    let circle = judge(
        &world,
        r#"{"Name":"b","TaskTemplate":{"ContainerSpec":{"Image":"i"}},"DependsOn":[{"Service":"a"}]}"#,
    );
    assert_eq!(circle.expect_err("a circle").to_string(), "service b depends on itself");
}
