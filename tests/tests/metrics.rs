//! What is exported, what is documented, and what alerts and dashboard ask for are the same names.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use model::metrics::{Family, Kind};

const BEGIN: &str = "<!-- generated: begin -->\n";
const END: &str = "<!-- generated: end -->\n";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_path_buf()
}

/// Every family by name; one that two programs have must be the same in both.
fn exported() -> BTreeMap<&'static str, Family> {
    let mut all: BTreeMap<&str, Family> = BTreeMap::new();
    for family in agent::metrics::FAMILIES.iter().chain(orchestrator::metrics::FAMILIES) {
        let known = all.insert(family.name, *family);
        assert!(known.is_none_or(|known| known == *family), "{} has two meanings", family.name);
    }
    all
}

#[test]
fn names_and_units_follow_the_conventions() {
    for (name, family) in exported() {
        assert!(name.starts_with("swarmctl_"), "{name}");
        let counts = name.ends_with("_total");
        assert_eq!(counts, family.kind == Kind::Counter, "{name}: only counters end in _total");
        let base = name.trim_end_matches("_total");
        for unit in ["seconds", "bytes"] {
            assert_eq!(base.ends_with(unit), family.unit == unit, "{name}: {}", family.unit);
        }
        assert!(family.help.ends_with('.'), "{name}: {}", family.help);
        assert!(!family.labels.contains(&"le"), "{name}");
    }
}

#[test]
fn the_page_lists_exactly_what_is_exported() {
    let mut text =
        String::from("| name | type | unit | labels | meaning |\n|---|---|---|---|---|\n");
    for (name, family) in exported() {
        let labels: Vec<String> = family.labels.iter().map(|l| format!("`{l}`")).collect();
        let _ = writeln!(
            text,
            "| `{name}` | {} | {} | {} | {} |",
            family.kind.name(),
            family.unit,
            labels.join(", "),
            family.help
        );
    }
    let path = root().join("docs/metrics.md");
    let page = fs::read_to_string(&path).expect("docs/metrics.md");
    let (head, rest) = page.split_once(BEGIN).expect("a place for the list");
    let (list, tail) = rest.split_once(END).expect("its end");
    if list != text && std::env::var_os("SWARMCTL_WRITE_DOCS").is_some() {
        fs::write(&path, format!("{head}{BEGIN}{text}{END}{tail}")).expect("it is written");
        return;
    }
    let write = "SWARMCTL_WRITE_DOCS=1 cargo test -p cluster-tests --test metrics";
    assert_eq!(list, text, "docs/metrics.md is old: {write}");
}

/// The metrics that a text names, histograms by their family's name.
fn named(text: &str) -> BTreeSet<String> {
    let exported = exported();
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| word.starts_with("swarmctl_"))
        .map(|word| {
            let family = ["_bucket", "_sum", "_count"]
                .iter()
                .filter_map(|suffix| word.strip_suffix(suffix))
                .find(|base| exported.get(base).is_some_and(|f| f.kind == Kind::Histogram));
            family.unwrap_or(word).to_owned()
        })
        .collect()
}

#[test]
fn alerts_and_dashboard_ask_for_nothing_that_is_not_exported() {
    let exported = exported();
    for file in ["swarmctl.rules.yml", "swarmctl.rules.test.yml", "grafana-dashboard.json"] {
        let text = fs::read_to_string(root().join("packaging/prometheus").join(file)).expect(file);
        let asked = named(&text);
        assert!(asked.len() > 2, "{file}: {asked:?}");
        for name in asked {
            assert!(exported.contains_key(name.as_str()), "{file}: {name} is not exported");
        }
    }
    let dashboard = fs::read_to_string(root().join("packaging/prometheus/grafana-dashboard.json"));
    let dashboard: serde_json::Value =
        serde_json::from_str(&dashboard.expect("a dashboard")).expect("JSON");
    assert!(dashboard["panels"].as_array().expect("panels").len() > 10);
}

#[test]
fn promtool_accepts_rules_and_configuration_and_the_right_alerts_fire() {
    let folder = root().join("packaging/prometheus");
    for words in [
        &["check", "rules", "swarmctl.rules.yml"][..],
        &["check", "config", "prometheus.yml"],
        &["test", "rules", "swarmctl.rules.test.yml"],
    ] {
        match Command::new("promtool").args(words).current_dir(&folder).output() {
            Err(_) => {
                println!("skipped: there is no promtool (Debian: apt-get install prometheus)");
                return;
            }
            Ok(done) => assert!(
                done.status.success(),
                "promtool {words:?}: {}{}",
                String::from_utf8_lossy(&done.stdout),
                String::from_utf8_lossy(&done.stderr)
            ),
        }
    }
}
