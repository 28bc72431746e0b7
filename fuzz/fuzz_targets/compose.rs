//! Any bytes at all as a Compose file: no panic, what is accepted reads back to the same stack, and both
//! readers of YAML make the same of it.
//!
//! `scripts/fuzz.sh compose`, or `cargo +nightly fuzz run compose` from the folder `fuzz`; what it finds
//! goes into `compose/tests/properties.rs`.
#![no_main]

use std::collections::BTreeMap;

use compose::source::SourceId;
use compose::yaml::parse::{parse_fully, parse_quickly};
use compose::{Input, InputFile, MemoryReader, Severity, load, normalise};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(text) = std::str::from_utf8(data) {
        let mut problems = Vec::new();
        if let Some(quick) = parse_quickly(text, SourceId(0), &mut problems) {
            let mut of_full = Vec::new();
            let full = parse_fully(text, SourceId(0), &mut of_full).expect("a tree");
            // As text: what is not a number is not equal to itself.
            assert_eq!(format!("{quick:?}{problems:?}"), format!("{full:?}{of_full:?}"));
        }
    }
    let reader = MemoryReader::default().with("/p/f.env", "A=b\n");
    let input = |bytes: &[u8]| Input {
        files: vec![InputFile { name: "f.yml".into(), bytes: bytes.to_vec() }],
        project_dir: "/p".into(),
        environment: BTreeMap::from([("HOME".to_owned(), "/home".to_owned())]),
        reader: &reader,
        stack: "s".into(),
        profiles: Vec::new(),
    };
    if let Ok(shown) = normalise(&input(data)) {
        let yaml = shown.document.to_yaml();
        let again = normalise(&input(yaml.as_bytes())).expect("what is printed reads back");
        assert_eq!(again.document.to_yaml(), yaml);
    }
    match load(&input(data)) {
        Ok(loaded) => {
            let yaml = loaded.stack.document.to_yaml();
            match load(&input(yaml.as_bytes())) {
                Ok(again) => assert_eq!(again.stack.specs, loaded.stack.specs),
                // What came of a variable is only warned of; written out it is refused.
                Err(problems) => {
                    let warned = |path: &str| loaded.warnings.list.iter().any(|w| w.path == path);
                    let errors = problems.list.iter().filter(|p| p.severity == Severity::Error);
                    assert!(errors.into_iter().all(|p| warned(&p.path)), "{problems}");
                }
            }
        }
        Err(problems) => assert!(!problems.to_string().is_empty()),
    }
});
