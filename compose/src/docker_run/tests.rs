//! Tests of the conversion.

use std::collections::BTreeMap;

use super::*;
use crate::quantity::words;
use crate::{Input, InputFile, MemoryReader, load};

fn yaml(line: &str) -> Converted {
    convert(&words::split(line).expect("words")).expect(line)
}

#[test]
fn a_line_becomes_a_file_that_loads() {
    let made = yaml(
        "docker run -d --name web -p 80:80 -e A=b -e C -v data:/d:ro -v /h:/h --restart=always \
         --network front --network-alias w -it --memory 64m --cpus=.5 --ulimit nofile=1:2 \
         --health-cmd 'curl x' --health-retries 3 --log-driver local --log-opt max-size=1m \
         --cap-add NET_ADMIN --mount type=tmpfs,dst=/t --rm nginx:1 sh -c 'echo $HOME'",
    );
    assert!(made.notes.iter().any(|n| n.contains("--rm")), "{:?}", made.notes);
    let reader = MemoryReader::default();
    let loaded = load(&Input {
        files: vec![InputFile { name: "f.yml".into(), bytes: made.yaml.clone().into_bytes() }],
        project_dir: "/p".into(),
        environment: BTreeMap::new(),
        reader: &reader,
        stack: "s".into(),
        profiles: Vec::new(),
    })
    .unwrap_or_else(|p| panic!("{p}\n{}", made.yaml));
    let service = &loaded.stack.specs.services[0];
    assert_eq!(service.name, "s_web");
    let container = service.task_template.container_spec.as_ref().expect("a container");
    assert_eq!(container.args, ["sh", "-c", "echo $HOME"]);
    assert_eq!(container.env, ["A=b", "C"]);
    assert_eq!(container.mounts.len(), 3);
    assert!(container.tty && container.open_stdin);
    assert_eq!(loaded.stack.specs.external.networks, ["front"]);
}

#[test]
fn an_unknown_option_is_refused_with_a_suggestion() {
    let error = convert(&["run".into(), "--evn".into(), "A=b".into(), "x".into()]);
    assert_eq!(
        error.expect_err("unknown").to_string(),
        "there is no option `--evn`; did you mean `--env`?"
    );
    assert_eq!(convert(&["run".into()]), Err(ConvertError::NoImage));
}

#[test]
fn a_container_keeps_its_volumes_names_and_every_option_of_its_mounts() {
    let json = serde_json::json!({
        "Name": "/db", "Config": {"Image": "x", "Env": ["P=$5"]},
        "HostConfig": {
            "Binds": ["data:/data"],
            "Mounts": [{"Type": "volume", "Source": "more", "Target": "/more",
                "VolumeOptions": {"NoCopy": true, "Subpath": "s"}}],
        },
    });
    let made = inspected(&json, None).expect("a container").yaml;
    for line in ["name: data", "name: more", "nocopy: true", "subpath: s", "P=$$5"] {
        assert!(made.contains(line), "{line}:\n{made}");
    }
}
