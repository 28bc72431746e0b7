//! The rules of the layout: who may import whom, how long a file may be, how it begins.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Directory of a crate, and which of our crates and, for a core, which others it may name.
type Rule = (&'static str, &'static [&'static str], Option<&'static [&'static str]>);

const RULES: &[Rule] = &[
    ("model", &[], Some(&["schemars", "serde", "serde_json", "thiserror"])),
    ("telemetry", &["model"], None),
    ("compose", &["model"], None),
    (
        "orchestrator/core",
        &["model", "compose"],
        Some(&["serde", "serde_json", "thiserror", "rpds"]),
    ),
    ("orchestrator", &["model", "telemetry", "compose", "orchestrator-core"], None),
    ("agent/core", &["model"], Some(&["serde", "serde_json", "thiserror", "ipnet"])),
    ("agent", &["model", "telemetry", "agent-core"], None),
    ("cli", &["model", "compose"], None),
    ("sample-services", &[], None),
];

const OURS: &[&str] = &[
    "model",
    "telemetry",
    "compose",
    "orchestrator-core",
    "orchestrator",
    "agent-core",
    "agent",
    "swarmctl",
    "sample-services",
    "cluster-tests",
];

/// Words that a core must not contain, and why.
const BANNED_IN_CORES: &[(&str, &str)] = &[
    ("std::time::Instant", "time comes in as a value"),
    ("std::time::SystemTime", "time comes in as a value"),
    ("std::env", "settings come in as values"),
    ("std::fs", "a core does no I/O"),
    ("std::net::Tcp", "a core does no I/O"),
    ("std::net::Udp", "a core does no I/O"),
    ("std::process", "a core does no I/O"),
    ("std::thread", "a core does not wait"),
    ("HashMap", "its order is random"),
    ("HashSet", "its order is random"),
    ("async fn", "a core does not wait"),
    ("println!", "a core does not log"),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_path_buf()
}

fn dependencies(directory: &str) -> BTreeSet<String> {
    let path = root().join(directory).join("Cargo.toml");
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let manifest: toml::Table = text.parse().expect("a manifest");
    manifest
        .get("dependencies")
        .and_then(toml::Value::as_table)
        .map(|table| table.keys().cloned().collect())
        .unwrap_or_default()
}

/// Every Rust file of the project with its text.
fn sources() -> BTreeMap<PathBuf, String> {
    fn walk(directory: &Path, found: &mut BTreeMap<PathBuf, String>) {
        for entry in fs::read_dir(directory).expect("a directory").flatten() {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            if path.is_dir() && name != "target" && name != "node_modules" && !name.starts_with('.')
            {
                walk(&path, found);
            } else if name.ends_with(".rs") {
                let text = fs::read_to_string(&path).expect("a text file");
                found.insert(path, text);
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(&root(), &mut found);
    found
}

#[test]
fn a_crate_names_only_what_its_place_allows() {
    let mut wrong = Vec::new();
    for (directory, ours, others) in RULES {
        for name in dependencies(directory) {
            let allowed = if OURS.contains(&name.as_str()) {
                ours.contains(&name.as_str())
            } else {
                others.is_none_or(|list| list.contains(&name.as_str()))
            };
            if !allowed {
                wrong.push(format!("{directory} may not depend on {name}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_core_holds_no_clock_no_io_and_no_random_order() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let place = path.strip_prefix(root()).expect("below the root").display().to_string();
        if !["orchestrator/core/src", "agent/core/src", "model/src", "compose/src"]
            .iter()
            .any(|core| place.starts_with(core))
        {
            continue;
        }
        for (number, line) in text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or("");
            for (word, why) in BANNED_IN_CORES {
                if code.contains(word) {
                    wrong.push(format!("{place}:{}: {word}: {why}", number + 1));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_file_says_what_it_is_for_and_stays_below_800_lines() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let place = path.strip_prefix(root()).expect("below the root").display().to_string();
        let lines = text.lines().count();
        if lines > 800 {
            wrong.push(format!("{place}: {lines} lines"));
        }
        if !text.starts_with("//!") {
            wrong.push(format!("{place}: the first line does not say what the file is for"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
