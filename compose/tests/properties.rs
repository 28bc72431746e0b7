//! What holds for any input at all: no panic, bounded work, and output that reads back.
//!
//! `SWARMCTL_FUZZ_SECONDS` makes the random walk longer, `SWARMCTL_FUZZ_SEED` begins it elsewhere,
//! `SWARMCTL_CORPUS` lets it start from real files as well; a finding prints the text that made it.
//! The folder `fuzz` has the same as targets for cargo-fuzz.

mod dice;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use compose::docker_run::convert;
use compose::env_file::{self, Form};
use compose::quantity::words;
use compose::source::SourceId;
use compose::yaml::parse::parse_quickly;
use compose::{Input, InputFile, Loaded, MemoryReader, Problems, Severity, load, normalise};
use dice::Dice;
use proptest::prelude::*;

const SEEDS: [&str; 3] = [
    include_str!("seeds/everything.yml"),
    include_str!("seeds/odd.yml"),
    include_str!("../../fuzz/corpus/compose/swarm.yml"),
];

fn with<T>(text: &str, then: impl Fn(&Input<'_>) -> T) -> T {
    let reader = MemoryReader::default().with("/p/other.yml", SEEDS[0]).with("/p/f.env", "A=b\n");
    let environment = BTreeMap::from([
        ("KEY".to_owned(), "secret".to_owned()),
        ("HOME".to_owned(), "/home".to_owned()),
    ]);
    then(&Input {
        files: vec![InputFile { name: "f.yml".into(), bytes: text.as_bytes().to_vec() }],
        project_dir: "/p".into(),
        environment,
        reader: &reader,
        stack: "s".into(),
        profiles: Vec::new(),
    })
}

fn read(text: &str) -> Result<Loaded, Problems> {
    with(text, load)
}

/// Reads a text and holds what comes out against what it promises.
fn judge(text: &str) {
    match read(text) {
        Ok(loaded) => {
            let yaml = loaded.stack.document.to_yaml();
            match read(&yaml) {
                Ok(again) => {
                    assert_eq!(
                        loaded.stack.specs, again.stack.specs,
                        "reads back differently:\n{yaml}"
                    );
                    let third = again.stack.document.to_yaml();
                    assert_eq!(yaml, third, "normalising twice differs");
                }
                // What came of a variable is only warned of; written out it is refused.
                Err(problems) => {
                    let errors = problems.list.iter().filter(|p| p.severity == Severity::Error);
                    let warned = &loaded.warnings.list;
                    let excused = |path: &str| warned.iter().any(|w| w.path == path);
                    if let Some(error) = errors.into_iter().find(|p| !excused(&p.path)) {
                        panic!("does not read back:\n{yaml}\n{}", error.line());
                    }
                }
            }
        }
        Err(problems) => {
            assert!(problems.has_errors());
            let report = problems.to_string();
            assert!(!report.is_empty());
            assert!(problems.list.iter().all(|p| p.location.is_some()), "no place: {report}");
        }
    }
    if let Ok(shown) = with(text, normalise) {
        let yaml = shown.document.to_yaml();
        let again = with(&yaml, normalise);
        let again = again.unwrap_or_else(|p| panic!("shown, but does not read back:\n{yaml}\n{p}"));
        assert_eq!(yaml, again.document.to_yaml(), "showing twice differs");
    }
}

/// Files of variables and command lines are read without a word, whatever they are.
fn judge_others(text: &str) {
    for form in [Form::Raw, Form::Dotenv] {
        env_file::parse(text, SourceId(0), form, &|_| None, &mut Vec::new());
    }
    if let Ok(words) = words::split(text)
        && let Ok(made) = convert(&words)
    {
        with(&made.yaml, normalise).map_or_else(
            // An option's value may be wrong; what was made of it must be YAML all the same.
            |problems| assert!(!problems.to_string().contains("not valid YAML"), "{}", made.yaml),
            drop,
        );
    }
}

#[test]
fn the_seeds_are_stacks_that_read_back() {
    for seed in SEEDS {
        judge(seed);
    }
    if let Err(problems) = read(SEEDS[0]) {
        panic!("{problems}");
    }
}

/// What the fuzzer has found: each of these once was shown as something that did not read back.
const FOUND: [&str; 6] = [
    "labels: ['']",
    "environment: ['', '=b']",
    "sysctls: ['=b']",
    "deploy: {labels: ['=b']}",
    "extra_hosts: {A: 'a=b'}",
    "ports: ['127.0.0.1:8:0']",
];

#[test]
fn what_was_found_reads_back() {
    for line in FOUND {
        judge(&format!("services:\n  s:\n    image: i\n    {line}\n"));
    }
}

const SCRAPS: [&str; 40] = [
    "{",
    "}",
    "[",
    "]",
    ":",
    "- ",
    "\n",
    "  ",
    "'",
    "\"",
    "|",
    ">",
    "&a ",
    "*a",
    "<<: *common",
    "!reset ",
    "!override ",
    "$",
    "${",
    "${A:-",
    "}",
    "#",
    "~",
    "\t",
    "é",
    "0",
    "-1",
    "1e9",
    "null",
    "true",
    "\\",
    "---\n",
    "? ",
    "%",
    "@",
    "1-65535:1-65535",
    "x-",
    "999999999999999999999",
    "image",
    "services",
];

fn change(text: &str, dice: &mut Dice) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    for _ in 0..=dice.below(4) {
        let at = dice.below(chars.len() + 1);
        match dice.below(5) {
            0 if at < chars.len() => {
                let to = (at + dice.below(12)).min(chars.len());
                chars.drain(at..to);
            }
            1 => {
                let piece: Vec<char> = SCRAPS[dice.below(SCRAPS.len())].chars().collect();
                chars.splice(at..at, piece);
            }
            2 => {
                let from = dice.below(chars.len() + 1);
                let to = (from + dice.below(60)).min(chars.len());
                let piece = chars[from..to].to_vec();
                chars.splice(at..at, piece);
            }
            3 if at < chars.len() => {
                chars[at] = char::from(32 + u8::try_from(dice.below(95)).unwrap_or(0))
            }
            _ => {
                let text: String = chars.iter().collect();
                let mut lines: Vec<&str> = text.split('\n').collect();
                let (a, b) = (dice.below(lines.len()), dice.below(lines.len()));
                lines.swap(a, b);
                chars = lines.join("\n").chars().collect();
            }
        }
    }
    chars.into_iter().collect()
}

/// What the walk starts from; real files only when it is to be long.
fn starts(long: bool) -> Vec<String> {
    let mut starts: Vec<String> = SEEDS.map(str::to_owned).into();
    let corpus = std::env::var_os("SWARMCTL_CORPUS").filter(|_| long).map(PathBuf::from);
    for folder in ["stacks", "broken"] {
        let Some(folder) = corpus.as_ref().map(|c| c.join(folder)) else { continue };
        let mut files: Vec<PathBuf> =
            std::fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path()).collect();
        files.sort();
        let texts = files.iter().filter_map(|f| std::fs::read_to_string(f).ok());
        starts.extend(texts.filter(|text| text.len() < 20_000));
    }
    starts
}

/// Lines of another text in the midst of this one.
fn graft(text: &str, other: &str, dice: &mut Dice) -> String {
    let mut lines: Vec<&str> = text.split('\n').collect();
    let others: Vec<&str> = other.split('\n').collect();
    let from = dice.below(others.len());
    let to = (from + 1 + dice.below(12)).min(others.len());
    let at = dice.below(lines.len() + 1);
    lines.splice(at..at, others[from..to].iter().copied());
    lines.join("\n")
}

#[test]
fn random_changes_never_break_a_promise() {
    let number = |name| std::env::var(name).ok().and_then(|s| s.parse::<u64>().ok());
    let end = number("SWARMCTL_FUZZ_SECONDS").map(|s| Instant::now() + Duration::from_secs(s));
    let mut dice = Dice(number("SWARMCTL_FUZZ_SEED").unwrap_or(42));
    let starts = starts(end.is_some());
    let (mut round, mut accepted) = (0_u32, 0_u32);
    while end.map_or(round < 1_500, |end| Instant::now() < end) {
        round += 1;
        let mut text = starts[dice.below(starts.len())].clone();
        for _ in 0..=dice.below(6) {
            text = match dice.below(4) {
                0 => graft(&text, &starts[dice.below(starts.len())], &mut dice),
                _ => change(&text, &mut dice),
            };
        }
        let judged = std::panic::catch_unwind(|| {
            judge(&text);
            judge_others(&text);
        });
        if let Err(panic) = judged {
            eprintln!("after {round} rounds, this text broke a promise:\n{text}");
            std::panic::resume_unwind(panic);
        }
        accepted += u32::from(end.is_some() && read(&text).is_ok());
    }
    println!("{round} texts from {} files, {accepted} of them accepted", starts.len());
}

proptest! {
    #[test]
    fn any_text_at_all_is_answered(text in "\\PC{0,200}") {
        judge(&text);
        judge(&format!("services:\n  a:\n    image: x\n    environment:\n      A: {text}\n"));
    }

    #[test]
    fn any_value_of_a_variable_survives_the_round(text in any::<String>()) {
        let json = serde_json::to_string(&text).expect("json");
        judge(&format!("services: {{a: {{image: x, labels: {{k: {json}}}}}}}"));
    }
}

#[test]
fn what_is_meant_to_hurt_is_refused() {
    let bomb: String = (0..9).fold("a0: &a0 [x,x,x,x,x,x,x,x,x]\n".to_owned(), |text, level| {
        let items = vec![format!("*a{level}"); 9].join(",");
        format!("{text}a{n}: &a{n} [{items}]\n", n = level + 1)
    });
    let chain: String =
        (0..20_000).map(|n| format!(" s{n}: {{image: x, depends_on: [s{}]}}\n", n + 1)).collect();
    let unknown: String = (0..20_000).map(|n| format!(" imagee{n}: 1\n")).collect();
    let names: String = (0..10_000)
        .map(|n| format!(" service{n}: {{image: x, networks: [netwrk{n}]}}\n"))
        .collect();
    let ports = "\"1-65535:1-65535\",".repeat(20_000);
    let extends: String =
        (0..20_000).map(|n| format!(" s{n}: {{image: x, extends: s{}}}\n", n + 1)).collect();
    for (what, text) in [
        ("aliases", bomb),
        ("brackets", "[".repeat(500_000)),
        ("indents", (0..2_000).map(|n| format!("{}a:\n", " ".repeat(n))).collect()),
        ("braces", "{a: ".repeat(100_000)),
        ("templates", format!("services: {{a: {{image: \"{}\"}}}}", "${A:-".repeat(50_000))),
        ("chain", format!("services:\n{chain}")),
        ("unknown keys", format!("services:\n a:\n{}", unknown.replace(' ', "  "))),
        ("unknown names", format!("services:\n{names}")),
        ("ports", format!("services: {{a: {{image: x, ports: [{ports}]}}}}")),
        ("extends", format!("services:\n{extends}")),
        ("quotes", "a: 'x\n".repeat(20_000)),
        ("one long line", format!("services: {{a: {{image: {}}}}}", "x".repeat(1_000_000))),
        (
            "flat list",
            format!(
                "services: {{a: {{image: x, cap_add: [{}]}}}}",
                (0..50_000).map(|n| format!("c{n},")).collect::<String>()
            ),
        ),
    ] {
        // Each of these takes minutes or gigabytes where something is not bounded.
        let start = Instant::now();
        let result = read(&text);
        println!("{what}: {} bytes, {:?}", text.len(), start.elapsed());
        assert_eq!(result.is_ok(), what == "flat list", "{what}");
    }
}

#[test]
fn five_thousand_services_are_read_by_the_quick_reader() {
    let mut text = "services:\n".to_owned();
    for n in 0..5_000 {
        text.push_str(&format!(
            "  service-{n}:\n    image: registry.example.com/team/app-{n}:1.2.3\n    environment:\n      A: b\n      N: \"{n}\"\n    networks: [front]\n    deploy:\n      replicas: 2\n      labels: [a=b, c=d]\n"
        ));
    }
    text.push_str("networks:\n  front: {}\n");
    let start = Instant::now();
    let loaded = read(&text).unwrap_or_else(|p| panic!("{p}"));
    assert_eq!(loaded.stack.specs.services.len(), 5_000);
    println!("{} bytes, 5,000 services: {:?}", text.len(), start.elapsed());
    // How fast that is is measured (`examples/speed.rs`), not tested; that it is read the fast way is.
    assert!(parse_quickly(&text, SourceId(0), &mut Vec::new()).is_some());
}
