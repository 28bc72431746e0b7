//! The quick reader of YAML against the full parser, on every file at hand.

use std::path::Path;

use compose::source::SourceId;
use compose::yaml::parse::{parse_fully, parse_quickly};

use crate::place::corpus;

#[test]
fn both_readers_make_the_same_tree_of_real_files() {
    let Some(corpus) = corpus() else { return };
    for folder in ["stacks", "broken", "oracle"] {
        let (files, quickly) = compare(&corpus.join(folder));
        println!("{folder}: {quickly} of {files} files are read quickly, all of them the same");
        assert!(quickly * 4 > files, "{folder}: {quickly} of {files}");
    }
}

fn compare(folder: &Path) -> (usize, usize) {
    let (mut files, mut quickly) = (0, 0);
    let all = std::fs::read_dir(folder).expect("a folder").filter_map(|e| Some(e.ok()?.path()));
    for file in all.filter(|f| f.extension().is_some_and(|e| e == "yml" || e == "yaml")) {
        let Ok(text) = std::fs::read_to_string(&file) else { continue };
        files += 1;
        let mut problems = Vec::new();
        let Some(quick) = parse_quickly(&text, SourceId(0), &mut problems) else { continue };
        quickly += 1;
        let mut of_full = Vec::new();
        let full = parse_fully(&text, SourceId(0), &mut of_full).expect("a tree");
        let same = format!("{quick:?}") == format!("{full:?}") && problems == of_full;
        assert!(same, "{}", file.display());
    }
    (files, quickly)
}
