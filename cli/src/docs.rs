//! Keeps the commands in the documentation true: each is one that this program understands.

use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The pages of the project, and the specs, whose comments hold commands.
fn pages() -> Vec<PathBuf> {
    let mut pages = vec![root().join("README.md"), root().join("vagrant/README.md")];
    for (folder, kind) in [("docs", "md"), ("specs", "yml")] {
        for entry in std::fs::read_dir(root().join(folder)).expect(folder).flatten() {
            if entry.path().extension().is_some_and(|is| is == kind) {
                pages.push(entry.path());
            }
        }
    }
    pages.sort();
    pages
}

/// The commands of a page, with their lines: in fenced or indented blocks of Markdown, in comments of
/// a spec.
fn commands(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut fenced = false;
    let is_spec = !text.contains("\n```");
    for (number, line) in text.lines().enumerate() {
        if line.starts_with("```") {
            fenced = !fenced;
            continue;
        }
        let line = match line.strip_prefix("#   ") {
            Some(comment) if is_spec => comment,
            _ if fenced => line,
            _ => continue,
        };
        // What follows several blanks or a number sign says what the line does.
        let said = line.trim().split("  ").next().unwrap_or("").split(" #").next().unwrap_or("");
        for part in said.split("; ").flat_map(|part| part.split(" && ")) {
            let part = part.split([';', '|', '>']).next().unwrap_or("").trim();
            // Brackets stand for something, lines belong to a drawing.
            if part.starts_with("swarmctl ") && !part.contains(['[', '<', '$', '`', '─']) {
                found.push((number + 1, part.to_owned()));
            }
        }
    }
    found
}

/// Words as a shell makes them of a line without substitutions.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for c in line.chars() {
        match (quote, c) {
            (Some(end), c) if c == end => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, ' ') => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[test]
fn every_command_in_the_documentation_is_understood() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for page in pages() {
        let text =
            std::fs::read_to_string(&page).unwrap_or_else(|e| panic!("{}: {e}", page.display()));
        for (number, line) in commands(&text) {
            count += 1;
            if let Err(error) = crate::command().try_get_matches_from(words(&line)) {
                use clap::error::ErrorKind::{DisplayHelp, DisplayVersion};
                if !matches!(error.kind(), DisplayHelp | DisplayVersion) {
                    wrong.push(format!("{}:{number}: {line}\n{error}", page.display()));
                }
            }
        }
    }
    assert!(count > 60, "only {count} commands were found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn commands_are_found_in_blocks_and_comments_and_cut_where_the_talk_begins() {
    let page = "swarmctl no\n```\nswarmctl ps          lists\nswarmctl logs a; swarmctl ps -q | wc\n\
                export A=1 && swarmctl top # looks\nswarmctl ls [flags]\n```\n";
    let found: Vec<String> = commands(page).into_iter().map(|(_, line)| line).collect();
    assert_eq!(found, ["swarmctl ps", "swarmctl logs a", "swarmctl ps -q", "swarmctl top"]);
    let spec = "# A spec.\n#   swarmctl deploy a -c b.yml     (or docker)\nservices:\n";
    assert_eq!(commands(spec), [(2, "swarmctl deploy a -c b.yml".to_owned())]);
    assert_eq!(words("a 'b c' --f=\"d e\" ''"), ["a", "b c", "--f=d e", ""]);
}
