//! Tests of the one form.

use super::*;
use crate::problem::Problems;
use crate::yaml::parse::parse;

fn form(service: &str) -> (serde_json::Value, Vec<String>) {
    let text = format!("services:\n  a:\n    {service}\n");
    let mut sources = Sources::default();
    let id = sources.add("f.yml", text.as_str());
    let mut problems = Vec::new();
    let mut tree = parse(&text, id, &mut problems).expect("a tree");
    Canon::new(&sources, &mut problems).node(&mut tree, &top::FILE, &KeyPath::ROOT);
    (tree.to_json()["services"]["a"].take(), Problems::new(problems, sources).lines())
}

#[test]
fn short_forms_become_long_ones() {
    for (short, long) in [
        ("build: .", r#"{"build":{"context":"."}}"#),
        ("command: a 'b c'", r#"{"command":["a","b c"]}"#),
        ("depends_on: [b]", r#"{"depends_on":{"b":{"condition":"service_started"}}}"#),
        ("dns: 1.1.1.1", r#"{"dns":["1.1.1.1"]}"#),
        ("env_file: x", r#"{"env_file":[{"path":"x"}]}"#),
        ("environment: [A=1, B]", r#"{"environment":{"A":"1","B":null}}"#),
        ("labels: {a: 1, b: true, c: }", r#"{"labels":{"a":"1","b":"true","c":""}}"#),
        ("extra_hosts: {b: '[::1]', a: 1.1.1.1}", r#"{"extra_hosts":["a:1.1.1.1","b:::1"]}"#),
        ("secrets: [k]", r#"{"secrets":[{"source":"k"}]}"#),
        ("devices: [{source: /a, target: /b, permissions: r}]", r#"{"devices":["/a:/b:r"]}"#),
        ("gpus: all", r#"{"gpus":[{"count":"all"}]}"#),
        ("stop_grace_period: 90s", r#"{"stop_grace_period":"1m30s"}"#),
        ("mem_limit: 64M", r#"{"mem_limit":"67108864"}"#),
        ("configs: [{source: c, mode: \"0440\"}]", r#"{"configs":[{"mode":288,"source":"c"}]}"#),
        ("cpu_quota: 50ms", r#"{"cpu_quota":50000}"#),
        ("cpu_percent: '50.5'", r#"{"cpu_percent":50.5}"#),
        (
            "ports: [{target: 80, published: 8000-8001}]",
            r#"{"ports":[{"published":8000,"target":80},{"published":8001,"target":80}]}"#,
        ),
    ] {
        let (made, problems) = form(short);
        assert_eq!(problems, Vec::<String>::new(), "{short}");
        assert_eq!(made, serde_json::from_str::<serde_json::Value>(long).expect("json"), "{short}");
    }
}

#[test]
fn every_wrong_value_is_told_in_one_go() {
    let (_, problems) =
        form("{image: 1, tty: x, ports: 80, environment: [{a: b}], foo: 1, cpus: half}");
    assert_eq!(problems.len(), 6, "{problems:#?}");
}

#[test]
fn the_way_out_of_a_usual_mistake_is_told() {
    for (text, help) in [
        ("image nginx", "is a colon missing? Write `image: nginx`"),
        ("[image: nginx]", "leave out the `- ` in front of each key"),
        ("{image: x, ulimits: {core: unlimited}}", "write -1: no limit"),
        ("{image: x, cap_add: KILL}", "write it as a list: [\"KILL\"]"),
    ] {
        let (_, problems) = form(text);
        assert!(problems.len() == 1 && problems[0].ends_with(help), "{text}: {problems:?}");
    }
}

#[test]
fn an_entry_without_a_name_is_told_of_and_left_out() {
    let (made, problems) = form("labels: ['', '=x', a=b]");
    assert_eq!(made, serde_json::json!({"labels": {"a": "b"}}));
    assert_eq!(problems.len(), 2, "{problems:#?}");
}

#[test]
fn what_stands_under_a_misspelt_key_is_looked_at_as_well() {
    let (_, problems) = form("{image: x, helthcheck: {interval: 5 parsecs, retires: 1}}");
    let paths = ["a.helthcheck: ", "a.helthcheck.interval: ", "a.helthcheck.retires: "];
    assert_eq!(problems.len(), paths.len(), "{problems:#?}");
    for (problem, path) in problems.iter().zip(paths) {
        assert!(problem.contains(&format!("error: services.{path}")), "{problem}");
    }
}

#[test]
fn of_a_build_types_and_misspelt_keys_are_judged_but_no_values() {
    let told = |build: &str| form(&format!("{{image: x, build: {build}}}")).1;
    assert_eq!(told("{context: ., shm_size: huge, network: no such}"), Vec::<String>::new());
    for (build, words) in [
        ("{contxt: .}", "error: services.a.build.contxt: there is no key"),
        ("{novelty: 1}", "warning: services.a.build.novelty: "),
        ("{dockerfile: [a]}", "error: services.a.build.dockerfile: this is a list"),
    ] {
        let problems = told(build);
        assert!(problems.len() == 1 && problems[0].contains(words), "{build}: {problems:?}");
    }
}
