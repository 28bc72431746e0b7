//! Tests of what is judged: one line of a file, and the place and words of its problem.

use std::collections::BTreeMap;

use crate::{Input, InputFile, MemoryReader, load};

/// All lines that are told of a file.
fn told(text: &str) -> Vec<String> {
    let reader = MemoryReader::default();
    let input = Input {
        files: vec![InputFile { name: "f.yml".into(), bytes: text.into() }],
        project_dir: "/p".into(),
        environment: BTreeMap::new(),
        reader: &reader,
        stack: "s".into(),
        profiles: Vec::new(),
    };
    match load(&input) {
        Ok(loaded) => loaded.warnings.lines(),
        Err(problems) => problems.lines(),
    }
}

#[test]
fn every_fault_is_told_at_its_place() {
    for (service, place, words) in [
        ("networks: [frnt]", "3:16", "there is no network `frnt`"),
        ("volumes: ['dta:/d']", "3:15", "there is no volume `dta`"),
        ("secrets: [k]", "3:15", "there is no secret `k`"),
        ("depends_on: [z]", "3:18", "there is no service `z`"),
        ("depends_on: [a]", "3:18", "depends on itself"),
        ("ports: ['80:80', '80:81']", "3:22", "publishes port 80/tcp"),
        ("ports: ['80:0']", "3:13", "0 is out of range"),
        ("volumes: ['front:/x', '/h:/x']", "3:27", "something is mounted at `/x`"),
        ("volumes: ['/h:x']", "3:15", "the target `x` is not absolute"),
        ("restart: sometimes", "3:14", "not a restart policy"),
        ("pull_policy: alwys", "3:18", "did you mean `always`?"),
        ("healthcheck: {test: [curl, x]}", "3:25", "a test cannot begin with `curl`"),
        ("deploy: {mode: global, replicas: 2}", "3:38", "does not go with the mode global"),
        (
            "deploy: {placement: {constraints: [node.role = manager]}}",
            "3:40",
            "write `node.role == manager`",
        ),
        (
            "deploy: {resources: {limits: {memory: 64M}, reservations: {memory: 65M}}}",
            "3:72",
            "more memory is reserved",
        ),
        ("deploy: {update_config: {max_failure_ratio: 1.5}}", "3:49", "1.5 is no ratio"),
        ("deploy: {endpoint_mode: dnsrr}, ports: [80]", "3:45", "needs the endpoint mode vip"),
        ("imag: y", "3:5", "did you mean `image`?"),
        ("replicas: 3", "3:5", "`replicas` belongs under `deploy`"),
        ("stop_grace_period: 1d", "3:24", "write `24h`"),
        ("tty: 3", "3:10", "allowed: true or false"),
        ("ulimits: {nofile: {soft: 3, hard: 2}}", "3:15", "above the hard one"),
        ("build: .", "3:5", "note: services.a.build: `build` is left out"),
        ("entrypoint: ''", "3:17", "write [\"\"] for none at all"),
    ] {
        let (service, rest) = (service.trim(), "networks: {front: }\nvolumes: {front: }\n");
        let lines: String = split(service).iter().map(|l| format!("    {l}\n")).collect();
        let text = format!(
            "services:\n  a: {{image: x,\n{}  }}\n{rest}",
            lines.trim_end_matches('\n').to_owned() + "\n"
        );
        let lines = told(&text);
        let found =
            lines.iter().any(|l| l.starts_with(&format!("f.yml:{place}:")) && l.contains(words));
        assert!(found, "{service}: {lines:#?}");
    }
}

/// One line; the places above count on it.
fn split(service: &str) -> Vec<&str> {
    vec![service]
}

#[test]
fn circles_collisions_and_overlaps_between_services_are_told() {
    let lines = told(
        "services:
  a: {image: x, depends_on: [b], ports: ['80:80']}
  b: {image: x, depends_on: [a], ports: ['80:90']}
networks:
  n: {ipam: {config: [{subnet: 10.0.0.0/16}]}}
  m: {ipam: {config: [{subnet: 10.0.1.0/24}]}}
  o: {ipam: {config: [{subnet: 10.0.0.0/40}]}}
secrets: {k: {}}
",
    );
    for words in [
        "services wait for each other: a -> b -> a",
        "the service `a` publishes port 80/tcp",
        "`10.0.1.0/24` overlaps 10.0.0.0/16",
        "`10.0.0.0/40` is not a subnet",
        "the secret has no content",
    ] {
        assert!(lines.iter().any(|l| l.contains(words)), "{words}: {lines:#?}");
    }
}
