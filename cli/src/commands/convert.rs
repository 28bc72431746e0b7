//! `convert`: a `docker run` line, or a container that is there, to a Compose file.

use std::io::{IsTerminal as _, Read as _};
use std::process::ExitCode;

use anyhow::Context as _;
use compose::docker_run::{Converted, convert, inspected};
use serde_json::Value;

use crate::client::{Client, encoded};

/// `swarmctl convert`
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    swarmctl convert docker run -d --name web -p 80:80 nginx\n  \
    swarmctl convert --container web          a container of this host's engine\n  \
    docker inspect web | swarmctl convert     what docker says of it\n  \
    history | grep 'docker run' | tail -1 | cut -c8- | swarmctl convert\n\n\
    What has no place in a Compose file is said on standard error.\n\
    Exit code: 0, or 2 when the line is wrong.")]
pub struct Args {
    /// A container's name or id
    #[arg(long, value_name = "CONTAINER", conflicts_with = "line")]
    container: Option<String>,
    /// The line, `docker run` and all; without one standard input is read
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "LINE")]
    line: Vec<String>,
}

impl Args {
    /// Whether an engine must be asked.
    #[must_use]
    pub fn asks_an_engine(&self) -> bool {
        self.container.is_some()
    }
}

/// Converts a line, or what comes in.
///
/// # Errors
/// When standard input cannot be read.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if !args.line.is_empty() {
        return Ok(print(convert(&args.line)));
    }
    anyhow::ensure!(
        !std::io::stdin().is_terminal(),
        "nothing to convert: give a `docker run` line, or --container NAME"
    );
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).context("standard input")?;
    Ok(print(of_text(&text)))
}

/// Converts a container of this host.
///
/// # Errors
/// Those of the calls.
pub async fn container(client: &Client, args: &Args) -> anyhow::Result<ExitCode> {
    let name = args.container.as_deref().unwrap_or_default();
    let container: Value = client.get(&format!("/containers/{}/json", encoded(name))).await?;
    let image = container["Image"].as_str().unwrap_or_default();
    // Without the image everything it says itself is written down as well: no harm.
    let image: Option<Value> = client.get(&format!("/images/{}/json", encoded(image))).await.ok();
    Ok(print(inspected(&container, image.as_ref())))
}

/// A line, perhaps over several, or the JSON of `docker inspect`.
fn of_text(text: &str) -> Result<Converted, compose::docker_run::ConvertError> {
    if let Ok(json) = serde_json::from_str::<Value>(text) {
        return inspected(&json, None);
    }
    let line = text.replace("\\\r\n", " ").replace("\\\n", " ");
    let words = compose::quantity::words::split(line.trim().trim_start_matches("$ "));
    let words = words.map_err(|e| compose::docker_run::ConvertError::Words(e.to_string()))?;
    convert(&words)
}

fn print(made: Result<Converted, compose::docker_run::ConvertError>) -> ExitCode {
    match made {
        Ok(made) => {
            for note in &made.notes {
                eprintln!("note: {note}");
            }
            print!("{}", made.yaml);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("swarmctl: {error}");
            ExitCode::from(2)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_over_several_lines_and_what_docker_inspect_says_are_both_read() {
        let line = "$ docker run -d \\\n  --name web \\\n  -p 80:80 nginx:1\n";
        let made = of_text(line).expect("a line");
        assert!(made.yaml.contains("  web:\n"), "{}", made.yaml);
        assert!(made.yaml.contains("- \"80:80\"\n"), "{}", made.yaml);
        let json = r#"[{"Name": "/db", "Config": {"Image": "redis:7", "Env": ["A=b"]}}]"#;
        let made = of_text(json).expect("a container");
        assert!(made.yaml.contains("  db:\n"), "{}", made.yaml);
        assert!(of_text("docker ps").is_err());
    }
}
