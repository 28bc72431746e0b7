//! The image archives: well formed as seen by `tar`, complete, and the same each time.

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

fn write(folder: &Path, extra: &[&str]) {
    let program = env!("CARGO_BIN_EXE_sample-services");
    let output = Command::new(program).args(["images", "--out"]).arg(folder).args(extra).output();
    assert!(output.expect("started").status.success());
}

/// What GNU tar finds in the archive under `path`.
fn extract(archive: &Path, path: &str) -> Vec<u8> {
    let output = Command::new("tar").arg("xOf").arg(archive).arg(path).output().expect("tar runs");
    assert!(output.status.success(), "{path}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn json(archive: &Path, path: &str) -> Value {
    serde_json::from_slice(&extract(archive, path)).expect("JSON")
}

fn digest(content: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(&Sha256::digest(content))
}

#[test]
fn every_image_names_layers_that_are_there_and_have_the_digest_they_claim() {
    let folder = TempDir::new().expect("a folder");
    write(folder.path(), &[]);
    let mut tags = Vec::new();
    for name in ["demo", "probe", "redis"] {
        let archive = folder.path().join(format!("{name}.tar"));
        for image in json(&archive, "manifest.json").as_array().expect("a list") {
            tags.extend(image["RepoTags"].as_array().expect("tags").clone());
            let config_path = image["Config"].as_str().expect("a path");
            let config = extract(&archive, config_path);
            assert_eq!(config_path, format!("blobs/sha256/{}", digest(&config)));
            let config: Value = serde_json::from_slice(&config).expect("JSON");
            let layers = image["Layers"].as_array().expect("layers");
            let claimed = config["rootfs"]["diff_ids"].as_array().expect("digests");
            assert_eq!(layers.len(), claimed.len());
            let entry = config["config"]["Entrypoint"][0].as_str().expect("an entry point");
            let place = match entry.strip_prefix('/') {
                Some(place) => place.to_owned(),
                None => format!("usr/local/bin/{entry}"),
            };
            let mut files = String::new();
            for (layer, claimed) in layers.iter().zip(claimed) {
                let content = extract(&archive, layer.as_str().expect("a path"));
                assert_eq!(claimed, &format!("sha256:{}", digest(&content)));
                let inner = folder.path().join("layer.tar");
                std::fs::write(&inner, content).expect("written");
                let list = Command::new("tar").arg("tf").arg(&inner).output().expect("tar runs");
                files.push_str(&String::from_utf8_lossy(&list.stdout));
            }
            assert!(files.lines().any(|line| line == place), "{entry} is not in\n{files}");
        }
    }
    for wanted in [
        "embair/swarm-demo:customers",
        "embair/swarm-demo:customers-v2",
        "embair/swarm-demo:products",
        "embair/swarm-demo:invoices",
        "embair/swarm-demo:webapp",
        "embair/swarm-demo:api-gateway",
        "dockersamples/visualizer:latest",
        "redis:latest",
        "swarm-demo/customers:1",
        "swarm-demo/customers:2",
        "swarm-demo/probe:1",
    ] {
        assert!(tags.iter().any(|tag| tag == wanted), "{wanted} is missing");
    }
}

#[test]
fn the_same_program_gives_the_same_archives_to_the_byte() {
    let (one, two) = (TempDir::new().expect("a folder"), TempDir::new().expect("a folder"));
    write(one.path(), &[]);
    write(two.path(), &[]);
    for name in ["demo.tar", "probe.tar", "redis.tar"] {
        let read = |folder: &TempDir| std::fs::read(folder.path().join(name)).expect("written");
        assert!(read(&one) == read(&two), "{name} differs");
    }
}

#[test]
fn the_command_line_is_an_image_of_nothing_but_itself() {
    let folder = TempDir::new().expect("a folder");
    let program = folder.path().join("program");
    std::fs::write(&program, "not to be stripped").expect("written");
    let program = program.to_str().expect("UTF-8");
    write(folder.path(), &["--only", "swarmctl", "--swarmctl", program]);
    let archive = folder.path().join("swarmctl.tar");
    let manifest = json(&archive, "manifest.json");
    let version = concat!("swarmctl:", env!("CARGO_PKG_VERSION"));
    assert_eq!(manifest[0]["RepoTags"], serde_json::json!([version, "swarmctl:latest"]));
    let config = json(&archive, manifest[0]["Config"].as_str().expect("a path"));
    assert_eq!(config["config"]["Entrypoint"], serde_json::json!(["/bin/swarmctl"]));
    let layer = folder.path().join("layer.tar");
    let content = extract(&archive, manifest[0]["Layers"][0].as_str().expect("a path"));
    std::fs::write(&layer, content).expect("written");
    assert_eq!(extract(&layer, "bin/swarmctl"), b"not to be stripped");
}

#[test]
fn the_build_context_has_a_stage_for_every_tag() {
    let folder = TempDir::new().expect("a folder");
    write(folder.path(), &["--only", "probe", "--build-context"]);
    let read = |name: &str| {
        std::fs::read_to_string(folder.path().join("probe").join(name)).expect("written")
    };
    let dockerfile = read("Dockerfile");
    for line in read("targets").lines() {
        let (stage, tag) = line.split_once('\t').expect("stage and tag");
        assert!(tag.starts_with("swarm-demo/probe:"), "{tag}");
        assert!(dockerfile.contains(&format!("FROM scratch AS {stage}\n")), "{dockerfile}");
    }
    assert!(dockerfile.contains("ENTRYPOINT [\"/bin/probe\"]\nCMD [\"serve\"]\n"), "{dockerfile}");
}
