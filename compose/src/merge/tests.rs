//! Tests of merging, by what two files come to.

use std::collections::BTreeMap;

use crate::{Input, InputFile, MemoryReader, load};

/// The service `a` of the merged files, as JSON; image and network come of themselves.
fn merged(files: &[&str]) -> serde_json::Value {
    let reader = MemoryReader::default();
    let loaded = load(&Input {
        files: files
            .iter()
            .enumerate()
            .map(|(n, text)| InputFile {
                name: format!("f{n}.yml"),
                bytes: format!("services: {{a: {{image: x, {text}}}}}\nvolumes: {{v: , w: }}")
                    .into_bytes(),
            })
            .collect(),
        project_dir: "/p".into(),
        environment: BTreeMap::new(),
        reader: &reader,
        stack: "s".into(),
        profiles: Vec::new(),
    })
    .unwrap_or_else(|p| panic!("{p}"));
    let mut service = loaded.stack.document.to_json()["services"]["a"].take();
    service.as_object_mut().expect("a mapping").remove("image");
    service
}

#[test]
fn each_key_merges_by_its_rule() {
    for (base, over, result) in [
        ("user: u", "hostname: h", r#"{"hostname":"h","user":"u"}"#),
        ("user: u", "user: ''", r#"{"user":"u"}"#),
        ("command: [a]", "command: [b, c]", r#"{"command":["b","c"]}"#),
        ("cap_add: [A]", "cap_add: [B, A]", r#"{"cap_add":["A","B"]}"#),
        ("labels: {a: 1, b: 2}", "labels: [b=3]", r#"{"labels":{"a":"1","b":"3"}}"#),
        ("labels: {a: 1, b: 2}", "labels: {a: '', b: }", r#"{"labels":{"a":"","b":""}}"#),
        ("sysctls: {a: 1}", "sysctls: [a=]", r#"{"sysctls":{"a":""}}"#),
        ("environment: {A: x}", "environment: {A: ''}", r#"{"environment":{"A":"x"}}"#),
        (
            "logging: {options: {a: x}}",
            "logging: {options: {a: ''}}",
            r#"{"logging":{"options":{"a":""}}}"#,
        ),
        ("read_only: true", "read_only: false", "{}"),
        (
            "healthcheck: {test: a, interval: 5s}",
            "healthcheck: {test: b}",
            r#"{"healthcheck":{"interval":"5s","test":["CMD-SHELL","b"]}}"#,
        ),
        (
            "healthcheck: {test: a}",
            "healthcheck: {disable: true}",
            r#"{"healthcheck":{"disable":true}}"#,
        ),
        (
            "ports: ['80:80', '53:53', '53:53/udp']",
            "ports: ['80:81']",
            r#"{"ports":[{"mode":"ingress","protocol":"tcp","published":53,"target":53},{"mode":"ingress","protocol":"udp","published":53,"target":53},{"mode":"ingress","protocol":"tcp","published":80,"target":81}]}"#,
        ),
        (
            "volumes: ['v:/a', 'v:/b']",
            "volumes: ['w:/a']",
            r#"{"volumes":[{"source":"w","target":"/a","type":"volume"},{"source":"v","target":"/b","type":"volume"}]}"#,
        ),
        (
            "logging: {driver: a, options: {x: 1}}",
            "logging: {driver: b}",
            r#"{"logging":{"driver":"b"}}"#,
        ),
        (
            "ulimits: {a: 1}",
            "ulimits: {a: {soft: 1, hard: 2}}",
            r#"{"ulimits":{"a":{"hard":2,"soft":1}}}"#,
        ),
        ("user: u, hostname: h", "user: !reset null", r#"{"hostname":"h"}"#),
        ("dns: [1.1.1.1]", "dns: !override [2.2.2.2]", r#"{"dns":["2.2.2.2"]}"#),
    ] {
        let expected: serde_json::Value = serde_json::from_str(result).expect("json");
        assert_eq!(merged(&[base, over]), expected, "{base} + {over}");
    }
}
