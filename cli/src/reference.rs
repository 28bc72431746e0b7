//! Keeps the list in `docs/cli.md` true.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::{Arg, Command};

const BEGIN: &str = "<!-- generated: begin -->\n";
const END: &str = "<!-- generated: end -->\n";

/// A row for each command that does something.
fn rows(command: &Command, above: &str, text: &mut String) {
    for sub in command.get_subcommands().filter(|s| !s.is_hide_set() && s.get_name() != "help") {
        let words = format!("{above} {}", sub.get_name()).trim().to_owned();
        // Its own: those that every command has say nothing here.
        let is_own = |arg: &&Arg| {
            !arg.is_positional()
                && !arg.is_hide_set()
                && !arg.is_global_set()
                && arg.get_id() != "help"
        };
        let has_flags = sub.get_arguments().any(|arg| is_own(&arg));
        if sub.get_subcommands().next().is_none() || has_own_use(sub) {
            let about = sub.get_about().map(ToString::to_string).unwrap_or_default();
            let flags = if has_flags { " [flags]" } else { "" };
            let line: Vec<String> = sub.get_positionals().map(positional).collect();
            let line = line.iter().map(|word| format!(" {word}")).collect::<String>();
            // A line feed in an about is clap's paragraph.
            let about = about.replace('\n', " ");
            let _ = writeln!(text, "| `{words}{flags}{line}` | {about} |");
        }
        rows(sub, &words, text);
    }
}

/// A command with subcommands that also does something by itself.
fn has_own_use(command: &Command) -> bool {
    !command.is_subcommand_required_set() && !command.is_arg_required_else_help_set()
}

fn positional(arg: &Arg) -> String {
    let names = arg.get_value_names().map(|names| names.to_vec()).unwrap_or_default();
    let name =
        names.first().map_or_else(|| arg.get_id().to_string().to_uppercase(), ToString::to_string);
    let many = arg.get_num_args().is_some_and(|n| n.max_values() > 1);
    let dots = if many { "…" } else { "" };
    if arg.is_required_set() { format!("{name}{dots}") } else { format!("[{name}{dots}]") }
}

#[test]
fn the_reference_lists_every_command() {
    let mut command = crate::command();
    command.build();
    let mut text = String::from("| command | does |\n|---|---|\n");
    rows(&command, "", &mut text);
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/cli.md");
    let page = std::fs::read_to_string(&path).expect("docs/cli.md");
    let (head, rest) = page.split_once(BEGIN).expect("a place for the list");
    let (list, tail) = rest.split_once(END).expect("its end");
    if list != text && std::env::var_os("SWARMCTL_WRITE_DOCS").is_some() {
        std::fs::write(&path, format!("{head}{BEGIN}{text}{END}{tail}")).expect("it is written");
        return;
    }
    assert_eq!(list, text, "docs/cli.md is old: SWARMCTL_WRITE_DOCS=1 cargo test -p swarmctl");
}
