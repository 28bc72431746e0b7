//! What real files hold, in our own words: each habit of their writers, and what becomes of it.

use std::collections::BTreeMap;

use compose::schema::service::SERVICE_SHAPE;
use compose::{Input, InputFile, Loaded, MemoryReader, Problems, load};
use model::spec::ContainerSpec;

fn read_with(text: &str, reader: &MemoryReader, profiles: &[&str]) -> Result<Loaded, Problems> {
    let environment = [("HOME", "/home/me"), ("TAG", "7"), ("EMPTY", "")];
    load(&Input {
        files: vec![InputFile { name: "compose.yml".into(), bytes: text.into() }],
        project_dir: "/p".into(),
        environment: environment.map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
        reader,
        stack: "s".into(),
        profiles: profiles.iter().map(|p| (*p).to_owned()).collect(),
    })
}

fn stack(text: &str) -> Loaded {
    read_with(text, &MemoryReader::default(), &[]).unwrap_or_else(|p| panic!("{text}\n{p}"))
}

fn container<'l>(loaded: &'l Loaded, service: &str) -> &'l ContainerSpec {
    let services = &loaded.stack.specs.services;
    let service = services.iter().find(|s| s.name == format!("s_{service}"));
    let service = service.unwrap_or_else(|| panic!("a service in {services:?}"));
    service.task_template.container_spec.as_ref().expect("a container")
}

#[test]
fn labels_of_proxies_keep_their_backticks_dollars_and_colons() {
    let loaded = stack(
        "services:\n  web:\n    image: x\n    deploy:\n      labels:\n        \
         - traefik.enable=true\n        \
         - \"traefik.http.routers.w.rule=Host(`a.example`) && PathPrefix(`/x`)\"\n        \
         - traefik.http.middlewares.a.basicauth.users=u:$$apr1$$h$$x\n        \
         - 'caddy.reverse_proxy={{upstreams 80}}'\n",
    );
    let labels = &loaded.stack.specs.services[0].labels;
    assert_eq!(labels["traefik.http.routers.w.rule"], "Host(`a.example`) && PathPrefix(`/x`)");
    assert_eq!(labels["traefik.http.middlewares.a.basicauth.users"], "u:$apr1$h$x");
    assert_eq!(labels["caddy.reverse_proxy"], "{{upstreams 80}}");
    assert!(loaded.warnings.is_empty(), "{}", loaded.warnings);
}

#[test]
fn anchors_merge_keys_and_extension_fields_are_filled_in() {
    let loaded = stack(
        "x-env: &env {A: '1', B: '2'}\nx-base: &base\n  image: x\n  environment: *env\n  \
         logging: {driver: local}\nservices:\n  a:\n    <<: *base\n    environment:\n      \
         <<: *env\n      B: '3'\n  b:\n    <<: [*base, {init: true, image: y}]\n    x-note: [1]\n",
    );
    assert_eq!(container(&loaded, "a").env, ["A=1", "B=3"]);
    assert_eq!(container(&loaded, "b").image, "x:latest");
    assert_eq!(container(&loaded, "b").init, Some(true));
}

#[test]
fn env_files_with_quotes_comments_and_exports_are_read_as_their_form_says() {
    let reader = MemoryReader::default()
        .with("/p/short.env", "# c\nA=\"quoted\"\nB=plain # no comment\nHOME\n")
        .with("/p/long.env", "export A='x $TAG'\nB=\"y ${TAG}\"  # c\nC=z#w\n");
    let text = "services:\n  a: {image: x, env_file: short.env}\n  b:\n    image: x\n    \
                env_file: [{path: long.env, required: true}, {path: none.env, required: false}]\n    \
                environment: {C: own}\n";
    let loaded = read_with(text, &reader, &[]).unwrap_or_else(|p| panic!("{p}"));
    let mut env = container(&loaded, "a").env.clone();
    env.sort();
    assert_eq!(env, ["A=quoted", "B=plain # no comment", "HOME=/home/me"]);
    assert_eq!(container(&loaded, "b").env, ["A=x $TAG", "B=y 7", "C=own"]);
}

#[test]
fn mounts_of_every_form_windows_paths_among_them_find_their_source_and_target() {
    let loaded = stack(
        "services:\n  a:\n    image: x\n    volumes:\n      - data:/data\n      - ./conf:/etc/conf:ro\n      \
         - ~/.ssh:/root/.ssh\n      - /var/run/docker.sock:/var/run/docker.sock\n      - /anonymous\n      \
         - c:\\data:/win\n      - {type: bind, source: ../up, target: /up, bind: {propagation: rslave}}\n      \
         - {type: tmpfs, target: /tmp, tmpfs: {size: 64m}}\nvolumes: {data: }\n",
    );
    let mounts: Vec<String> = container(&loaded, "a")
        .mounts
        .iter()
        .map(|m| format!("{} {} {}", m.r#type, m.source, m.target))
        .collect();
    assert_eq!(
        mounts,
        [
            "volume s_data /data",
            "bind /p/conf /etc/conf",
            "bind /home/me/.ssh /root/.ssh",
            "bind /var/run/docker.sock /var/run/docker.sock",
            "volume  /anonymous",
            "bind c:\\data /win",
            "bind /up /up",
            "tmpfs  /tmp",
        ]
    );
}

#[test]
fn templates_of_swarm_reach_the_specs_as_they_are() {
    let loaded = stack(
        "services:\n  a:\n    image: x\n    hostname: '{{.Node.Hostname}}-{{.Task.Slot}}'\n    \
         environment: ['ID={{.Task.ID}}', 'N=${NODE:-{{.Node.ID}}}']\n",
    );
    let container = container(&loaded, "a");
    assert_eq!(container.hostname, "{{.Node.Hostname}}-{{.Task.Slot}}");
    assert_eq!(container.env, ["ID={{.Task.ID}}", "N={{.Node.ID}}"]);
}

#[test]
fn included_files_come_in_every_form_with_their_own_folder_and_variables() {
    let reader = MemoryReader::default()
        .with("/p/one/compose.yml", "services: {one: {image: 'x:${V:-0}', volumes: ['./d:/d']}}")
        .with("/p/one/.env", "V=from-one\n")
        .with("/p/two.yml", "services: {two: {image: 'y:${W:-0}'}}")
        .with("/p/two-more.yml", "services: {two: {init: true}}")
        .with("/p/w.env", "W=from-w\n");
    let text = "include:\n  - one/compose.yml\n  - {path: [two.yml, two-more.yml], env_file: w.env}\n\
                services: {own: {image: z, depends_on: [one, two]}}\n";
    let loaded = read_with(text, &reader, &[]).unwrap_or_else(|p| panic!("{p}"));
    assert_eq!(container(&loaded, "one").image, "x:from-one");
    assert_eq!(container(&loaded, "one").mounts[0].source, "/p/one/d");
    assert_eq!(container(&loaded, "two").image, "y:from-w");
    assert_eq!(container(&loaded, "two").init, Some(true));
}

#[test]
fn profiles_choose_services_and_only_active_ones_are_sent() {
    let text = "services:\n  a: {image: x}\n  b: {image: x, profiles: [debug]}\n  \
                c: {image: x, profiles: [test, debug]}\n";
    let names = |profiles: &[&str]| -> Vec<String> {
        let loaded = read_with(text, &MemoryReader::default(), profiles);
        let specs = loaded.unwrap_or_else(|p| panic!("{p}")).stack.specs;
        specs.services.into_iter().map(|s| s.name).collect()
    };
    assert_eq!(names(&[]), ["s_a"]);
    assert_eq!(names(&["test"]), ["s_a", "s_c"]);
    assert_eq!(names(&["*"]), ["s_a", "s_b", "s_c"]);
}

#[test]
fn a_service_that_is_only_built_is_refused_with_the_way_out() {
    let text = "services: {a: {build: .}}";
    let problems = read_with(text, &MemoryReader::default(), &[]).expect_err("refused");
    let lines = problems.lines();
    let told =
        lines.iter().any(|l| l.contains("no image") && l.contains("build and push it first"));
    assert!(told, "{lines:?}");
}

#[test]
fn gpus_and_devices_are_asked_for_in_every_form() {
    let loaded = stack(
        "services:\n  a: {image: x, gpus: all}\n  b:\n    image: x\n    deploy:\n      resources:\n        \
         reservations:\n          devices: [{driver: nvidia, count: 1, capabilities: [gpu]}]\n  \
         c: {image: x, devices: ['/dev/ttyUSB0', 'vendor.example/class=all']}\n",
    );
    let engine = |service: &str| container(&loaded, service).engine.clone().expect("options");
    assert_eq!(engine("a").device_requests[0].count, -1);
    assert_eq!(engine("b").device_requests[0].driver, "nvidia");
    assert_eq!(engine("c").devices[0].path_in_container, "/dev/ttyUSB0");
    assert_eq!(engine("c").device_requests[0].device_ids, ["vendor.example/class=all"]);
}

#[test]
fn a_seccomp_profile_is_sent_and_one_that_is_missing_is_told_at_its_line() {
    let reader = MemoryReader::default().with("/p/p.json", "{ \"defaultAction\": \"x\" }");
    let text =
        "services:\n  a:\n    image: x\n    security_opt: ['seccomp:p.json', 'seccomp=q.json']\n";
    let problems = read_with(text, &reader, &[]).expect_err("one is missing");
    assert!(problems.lines()[0].starts_with("compose.yml:4:38: error: services.a.security_opt[1]"));
    let loaded = read_with(&text.replace("q.json", "unconfined"), &reader, &[]);
    let loaded = loaded.unwrap_or_else(|p| panic!("{p}"));
    let options = container(&loaded, "a").engine.clone().expect("options");
    assert_eq!(options.security_opt, ["seccomp={\"defaultAction\":\"x\"}", "seccomp=unconfined"]);
}

#[test]
fn an_image_that_is_wrong_or_misspelt_is_told_once() {
    for service in
        ["image: '${NOT_SET:?say which}'", "Image: x", "extends: {file: none.yml, service: b}"]
    {
        let text = format!("services:\n  a:\n    {service}\n");
        let problems = read_with(&text, &MemoryReader::default(), &[]).expect_err("refused");
        assert_eq!(problems.lines().len(), 1, "{:?}", problems.lines());
    }
}

#[test]
fn variables_in_numbers_booleans_and_lists_are_filled_in_before_types_are_judged() {
    let mut text = "services:\n  a:\n    image: x\n    init: ${T:-true}\n    ports: ['${P:-8080}:${Q-80}']\n    \
                    deploy: {replicas: \"${R:-3}\", resources: {limits: {cpus: '${C:-.5}'}}}\n"
        .to_owned();
    let loaded = stack(&text);
    let service = &loaded.stack.specs.services[0];
    assert_eq!(service.mode.replicated.as_ref().and_then(|r| r.replicas), Some(3));
    assert_eq!(service.endpoint_spec.as_ref().map(|e| e.ports[0].published_port), Some(8080));
    text = text.replace(":-3", ":-three");
    let problems = read_with(&text, &MemoryReader::default(), &[]).expect_err("no number");
    assert!(problems.lines()[0].contains("`three` is not a whole number"), "{problems}");
}

#[test]
fn the_same_input_gives_the_same_answer() {
    let all: BTreeMap<u8, String> = (0..3)
        .map(|n| (n, stack(include_str!("seeds/odd.yml")).stack.document.to_yaml()))
        .collect();
    assert!(all.values().all(|text| text == &all[&0]));
}

#[test]
fn a_key_whose_variable_is_empty_reads_back_to_the_same_stack() {
    let read = |text: &str| read_with(text, &MemoryReader::default(), &[]);
    for field in SERVICE_SHAPE.fields {
        for value in ["${EMPTY}", "[\"${EMPTY}\"]", "{a: \"${EMPTY}\"}"] {
            let text = format!("services:\n  a:\n    x-a: 1\n    {}: {value}\n", field.name);
            let text = if field.name == "image" { text } else { text + "    image: x\n" };
            let Ok(first) = read(&text) else { continue };
            let yaml = first.stack.document.to_yaml();
            match read(&yaml) {
                Ok(again) => assert_eq!(again.stack.specs, first.stack.specs, "{text}{yaml}"),
                // What came of a variable is only warned of; written out it is refused.
                Err(problems) => {
                    assert!(!first.warnings.is_empty(), "{text}{yaml}{problems}");
                }
            }
        }
    }
}

#[test]
fn one_broken_block_does_not_hide_what_is_wrong_elsewhere() {
    let text = "\
services:
  a:
    image: \"x
    ports: [\"80:80\"]
    replicas: 2
  b:
    image: y
    networks: [gone, there]
    depends_on: [c]
    deploy:
      replicas: [2]
      update_config: {dely: 10 parsecs}
  c: d: e
networks:
  there:
\tdriver: overlay
  x:
";
    let problems = read_with(text, &MemoryReader::default(), &[]).expect_err("broken");
    let lines = problems.lines();
    let places: Vec<&str> = lines.iter().filter_map(|l| l.split(": error").next()).collect();
    let expected = ["3:12", "5:5", "11:17", "12:23", "12:29", "13:7", "16:2"];
    assert_eq!(places, expected.map(|place| format!("compose.yml:{place}")), "{lines:#?}");
}
