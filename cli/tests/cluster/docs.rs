//! The commands of `docs/getting-started.md`, run in their order against the API.

use std::path::Path;

use crate::world::World;

/// Runs the blocks that are marked `console run`; blocks marked `file=NAME` are written first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn getting_started_does_what_it_says() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/getting-started.md");
    let page = std::fs::read_to_string(page).expect("the page");
    let world = World::start(2);
    let mut run = 0;
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let Some(kind) = line.strip_prefix("```").filter(|kind| !kind.is_empty()) else { continue };
        let block: Vec<&str> = lines.by_ref().take_while(|line| !line.starts_with("```")).collect();
        if let Some((_, name)) = kind.split_once("file=") {
            world.write(name, &block.join("\n"));
        } else if kind == "console run" {
            for command in block {
                let words = command.strip_prefix("swarmctl ").expect("a command of ours");
                world.ok(words).await;
                run += 1;
            }
        }
    }
    assert!(run >= 14, "only {run} commands were run");
}
