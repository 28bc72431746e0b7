//! Plays a stack file on a simulated cluster: `play specs/demo.yml`, then faults typed by hand.

use std::io::{BufRead as _, Write as _};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use clap::Parser;
use cluster_tests::sim::{HELP, Script};

/// Plays a stack file on a simulated cluster, no Docker needed. Time passes as you type; what
/// happens to tasks is told. Faults are typed: `help` lists the commands.
#[derive(Parser)]
struct Arguments {
    /// A stack file, deployed at the start.
    file: Option<String>,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[arg(long, default_value_t = 3)]
    managers: usize,
    #[arg(long, default_value_t = 3)]
    workers: usize,
    /// Plays this text of commands instead, as those in tests/scenarios, and shows the answers.
    #[arg(long)]
    script: Option<std::path::PathBuf>,
    /// Simulated seconds in a real one; 0: time passes only with `wait`, `watch` and `settle`.
    #[arg(long, default_value_t = 1)]
    speed: u32,
}

/// Between two looks at what happened.
const TICK: Duration = Duration::from_millis(200);

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let mut script = Script::new(arguments.seed, arguments.managers.max(1), arguments.workers);
    if let Some(path) = &arguments.script {
        print!("{}", script.play(&std::fs::read_to_string(path)?));
        return Ok(());
    }
    println!("{HELP}\n");
    if let Some(file) = &arguments.file {
        script.run(&format!("deploy {file}")).map_err(anyhow::Error::msg)?;
        script.run("settle").map_err(anyhow::Error::msg)?;
        println!("{}", script.run("ls").map_err(anyhow::Error::msg)?);
    }
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    print!("> ");
    std::io::stdout().flush()?;
    loop {
        let answer = match lines.recv_timeout(TICK) {
            Ok(line) if line.trim() == "quit" => return Ok(()),
            Ok(line) => {
                let answer = script.run(&line);
                let shown = answer.unwrap_or_else(|why| format!("! {why}"));
                print!("{shown}{}> ", if shown.is_empty() { "" } else { "\n" });
                std::io::stdout().flush()?;
                continue;
            }
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
            Err(RecvTimeoutError::Timeout) if arguments.speed == 0 => continue,
            Err(RecvTimeoutError::Timeout) => script.tick(TICK * arguments.speed),
        };
        match answer {
            Ok(news) if news.is_empty() => {}
            Ok(news) => {
                println!("\r{news}");
                print!("> ");
                std::io::stdout().flush()?;
            }
            Err(why) => println!("! {why}"),
        }
    }
}
