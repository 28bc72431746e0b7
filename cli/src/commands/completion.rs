//! `completion`: what a shell needs to complete commands, flags and live names.
//!
//! The script that is printed calls `swarmctl` back with the words of the line (clap's dynamic
//! engine, the environment variable `COMPLETE`), so it fits the version that is installed.

use clap::{Args, ValueEnum};
use clap_complete::env::Shells;

use crate::output::print;

/// `swarmctl completion`
#[derive(Debug, Args)]
#[command(after_help = "Put it where your shell looks:\n  \
    swarmctl completion bash > /etc/bash_completion.d/swarmctl\n  \
    swarmctl completion zsh  > \"${fpath[1]}/_swarmctl\"\n  \
    swarmctl completion fish > ~/.config/fish/completions/swarmctl.fish\n\n\
    Or, for this shell only:\n  source <(swarmctl completion bash)")]
pub struct CompletionArgs {
    #[arg(value_enum)]
    shell: Shell,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

/// Prints the script.
///
/// # Errors
/// When it cannot be written.
pub fn run(args: &CompletionArgs) -> anyhow::Result<()> {
    let name = match args.shell {
        Shell::Bash => "bash",
        Shell::Zsh => "zsh",
        Shell::Fish => "fish",
    };
    let shells = Shells::builtins();
    let shell = shells.completer(name).expect("clap knows these three");
    let mut script = Vec::new();
    shell.write_registration("COMPLETE", "swarmctl", "swarmctl", "swarmctl", &mut script)?;
    print(&String::from_utf8_lossy(&script))
}
