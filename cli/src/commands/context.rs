//! `context`: names for clusters.

use clap::Subcommand;

use super::common::InspectArgs;
use crate::contexts::{Contexts, names};
use crate::endpoint::{Endpoint, Said, environment};
use crate::output::{Format, Table, print, printed};

/// `swarmctl context`
#[derive(Debug, Subcommand)]
pub enum ContextCommand {
    /// Keep an address, its certificates and token under a name: those of -H, --tlscacert, --tlscert,
    /// --tlskey, --token-file
    Create {
        name: String,
        /// What it is, for `context ls`
        #[arg(long, default_value = "", hide_default_value = true)]
        description: String,
    },
    /// List contexts
    #[command(visible_alias = "list")]
    Ls {
        /// Only names
        #[arg(short, long)]
        quiet: bool,
        /// table, json, yaml, or a template as '{{.Name}} {{.Host}}'
        #[arg(long, value_name = "FORMAT", default_value = "table")]
        format: Format,
    },
    /// Show contexts with the files that belong to them
    #[command(mut_arg("names", |names| names.add(crate::contexts::names())))]
    Inspect(InspectArgs),
    /// Use a context from now on
    Use {
        #[arg(add = names())]
        name: String,
    },
    /// Print the name of the context in use
    Show,
    /// Forget contexts
    #[command(visible_alias = "remove")]
    Rm {
        #[arg(required = true, add = names())]
        names: Vec<String>,
        /// Also the one in use
        #[arg(short, long)]
        force: bool,
    },
}

/// Runs it. `said`: the address and files of the command line.
///
/// # Errors
/// When there is no such context, or one already, or files cannot be read or written.
pub fn run(said: &Said, command: &ContextCommand) -> anyhow::Result<()> {
    let contexts = Contexts::at_home(&environment);
    match command {
        ContextCommand::Create { name, description } => {
            if said.host.is_none() && said.context.is_none() {
                let text = "which address? swarmctl context create NAME -H tcp://host:2376 --tlscacert FILE ...";
                return Err(crate::BadInput(text.into()).into());
            }
            let api = Endpoint::choose(said, &environment)?;
            // What would be refused later is refused now.
            crate::client::Client::at(&api)?;
            contexts.create(name, description, &api)?;
            println!("{name}");
        }
        ContextCommand::Ls { quiet, format } => {
            let found = contexts.list()?;
            if *quiet {
                return print(&found.iter().map(|c| format!("{}\n", c.name)).collect::<String>());
            }
            let mut table = Table::new(&["NAME", "DESCRIPTION", "HOST"]);
            for context in &found {
                let mark = if context.current { " *" } else { "" };
                table.row(vec![
                    format!("{}{mark}", context.name),
                    context.description.clone(),
                    context.host.clone(),
                ]);
            }
            print(&printed(format, &found, &table)?)?;
        }
        ContextCommand::Inspect(args) => {
            let known = contexts.list()?;
            let mut found = Vec::new();
            for name in &args.names {
                contexts.endpoint(name)?;
                found.extend(known.iter().filter(|context| context.name == *name));
            }
            args.print(&found)?;
        }
        ContextCommand::Use { name } => {
            contexts.use_(name)?;
            println!("{name}");
            if let Some(value) = environment("SWARMCTL_HOST").or_else(|| environment("DOCKER_HOST"))
            {
                eprintln!("warning: the environment goes before the context: {value}");
            }
        }
        ContextCommand::Show => println!("{}", contexts.current()?),
        ContextCommand::Rm { names, force } => {
            for name in names {
                contexts.remove(name, *force)?;
                println!("{name}");
            }
        }
    }
    Ok(())
}
