//! `lab ls`: what there is, for people and for scripts.

use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::ExitCode;

use serde::Serialize;

use super::args::Format;
use super::engine::Engine;
use super::paths::Paths;
use super::state::{Host, HostName, Lab, LabName, Power, Role};

/// What scripts get to know of a host. Its form is a promise.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Row {
    pub lab: LabName,
    pub name: HostName,
    pub role: Role,
    pub address: Ipv4Addr,
    pub state: State,
    /// The init, and with it the whole host, as a process of the machine.
    pub pid: Option<i32>,
    pub engine_socket: PathBuf,
    pub cluster_socket: PathBuf,
}

/// How a host is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum State {
    /// On, and its engine answers.
    Running,
    /// On, and its engine does not answer.
    Starting,
    /// Frozen.
    Paused,
    /// Off.
    Off,
}

/// Runs `lab ls`: one lab when it is named, else all.
pub(super) fn run(
    paths: &Paths,
    name: Option<&LabName>,
    format: Format,
) -> anyhow::Result<ExitCode> {
    let labs = match name {
        Some(name) => vec![Lab::load_known(paths, name)?],
        None => {
            let mut labs = Vec::new();
            for name in paths.labs() {
                match Lab::load(paths, &name) {
                    Ok(Some(lab)) => labs.push(lab),
                    // Half removed: nothing to list, `down` takes care of the rest.
                    Ok(None) => {}
                    Err(error) => eprintln!("swarmctl: {error:#}"),
                }
            }
            labs
        }
    };
    let rows: Vec<Row> = labs.iter().flat_map(|lab| rows(paths, lab)).collect();
    print(&rows, format)?;
    Ok(ExitCode::SUCCESS)
}

/// How every host of a lab is now.
pub(super) fn rows(paths: &Paths, lab: &Lab) -> Vec<Row> {
    lab.hosts
        .iter()
        .map(|host| {
            let place = paths.host(&lab.name, &host.name);
            Row {
                lab: lab.name.clone(),
                name: host.name.clone(),
                role: host.role,
                address: host.address,
                state: state(host, &Engine::at(place.engine_socket())),
                pid: host.init().map(|init| init.pid),
                engine_socket: place.engine_socket(),
                cluster_socket: place.cluster_socket(),
            }
        })
        .collect()
}

fn state(host: &Host, engine: &Engine) -> State {
    match (host.init(), &host.power) {
        (None, _) => State::Off,
        (Some(_), Power::Paused(_)) => State::Paused,
        (Some(_), _) if engine.answers() => State::Running,
        (Some(_), _) => State::Starting,
    }
}

/// Prints rows to standard output.
pub(super) fn print(rows: &[Row], format: Format) -> anyhow::Result<()> {
    let text = match format {
        Format::Table => table(rows),
        Format::Json => serde_json::to_string_pretty(rows)? + "\n",
        Format::Yaml => serde_yaml::to_string(rows)?,
    };
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

fn table(rows: &[Row]) -> String {
    let head = ["LAB", "NAME", "ROLE", "ADDRESS", "STATE", "SOCKETS"].map(String::from);
    let mut lines = vec![head];
    lines.extend(rows.iter().map(|row| {
        let state = match row.state {
            State::Running => "running",
            State::Starting => "starting",
            State::Paused => "paused",
            State::Off => "off",
        };
        [
            row.lab.to_string(),
            row.name.to_string(),
            row.role.to_string(),
            row.address.to_string(),
            state.to_owned(),
            format!(
                "{}/{{docker.sock,swarmctl/docker.sock}}",
                row.engine_socket.parent().unwrap_or(&row.engine_socket).display()
            ),
        ]
    }));
    let width = |column: usize| lines.iter().map(|line| line[column].len()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..6).map(width).collect();
    lines
        .iter()
        .map(|line| {
            let cells: Vec<_> =
                line.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
            format!("{}\n", cells.join("   ").trim_end())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> Row {
        Row {
            lab: LabName::default(),
            name: "m1".parse().expect("a name"),
            role: Role::Manager,
            address: Ipv4Addr::new(10, 210, 0, 11),
            state: State::Running,
            pid: Some(42),
            engine_socket: "/run/swarmctl-lab/lab/m1/docker.sock".into(),
            cluster_socket: "/run/swarmctl-lab/lab/m1/swarmctl/docker.sock".into(),
        }
    }

    #[test]
    fn the_json_form_is_as_promised() {
        let json = serde_json::to_string(&[row()]).expect("json");
        assert_eq!(
            json,
            "[{\"lab\":\"lab\",\"name\":\"m1\",\"role\":\"manager\",\"address\":\"10.210.0.11\",\
             \"state\":\"running\",\"pid\":42,\
             \"engine_socket\":\"/run/swarmctl-lab/lab/m1/docker.sock\",\
             \"cluster_socket\":\"/run/swarmctl-lab/lab/m1/swarmctl/docker.sock\"}]"
        );
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let off = Row { state: State::Off, name: "w10".parse().expect("a name"), ..row() };
        assert_eq!(
            table(&[row(), off]),
            "\
LAB   NAME   ROLE      ADDRESS       STATE     SOCKETS
lab   m1     manager   10.210.0.11   running   /run/swarmctl-lab/lab/m1/{docker.sock,swarmctl/docker.sock}
lab   w10    manager   10.210.0.11   off       /run/swarmctl-lab/lab/m1/{docker.sock,swarmctl/docker.sock}
"
        );
    }
}
