//! The texts in `tests/scenarios`: commands, and what the simulated cluster answers to them.
//!
//! A line that begins with `> ` is a command, what follows it is its answer. `SCENARIOS=write` writes
//! the answers anew; look at the difference before you keep it.

use std::fs;
use std::path::Path;

use cluster_tests::sim::Script;

#[test]
fn every_scenario_goes_as_its_text_says() {
    std::env::set_current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
        .expect("the project's folder");
    let folder = Path::new("tests/scenarios");
    let mut wrong = Vec::new();
    let mut played = 0;
    for entry in fs::read_dir(folder).expect("the folder of scenarios").flatten() {
        let path = entry.path();
        if path.extension().is_none_or(|e| e != "txt") {
            continue;
        }
        played += 1;
        let text = fs::read_to_string(&path).expect("a text");
        let now = Script::new(1, 3, 3).play(&text);
        if std::env::var("SCENARIOS").is_ok_and(|v| v == "write") {
            fs::write(&path, &now).expect("written");
        } else if now != text {
            let at = now.lines().zip(text.lines()).position(|(a, b)| a != b);
            let at = at.unwrap_or(now.lines().count().min(text.lines().count()));
            let line = |text: &str| text.lines().nth(at).unwrap_or("(nothing)").to_owned();
            let path = path.display();
            wrong.push(format!("{path}:{}\n  was {}\n  now {}", at + 1, line(&text), line(&now)));
        }
    }
    assert!(played >= 10, "{played} scenarios");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
