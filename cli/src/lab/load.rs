//! `lab load`: one image archive into every engine of a lab, at the same time.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};

use super::args::LoadArgs;
use super::engine::{self, Engine};
use super::paths::Paths;
use super::power;
use super::state::{Host, Lab, LabName};

/// Runs `lab load`.
pub(super) fn run(paths: &Paths, name: &LabName, args: LoadArgs) -> anyhow::Result<ExitCode> {
    let lab = Lab::load_known(paths, name)?;
    let hosts = if args.into.is_empty() { lab.hosts.clone() } else { lab.find(&args.into)? };
    let on: Vec<Host> = hosts.into_iter().filter(|host| host.init().is_some()).collect();
    if on.is_empty() {
        bail!("no host of lab `{name}` is on; `swarmctl lab up --name {name}` starts them");
    }
    let archive = match &args.file {
        Some(file) if file.as_os_str() == "-" => spool(paths, name, |to| {
            io::copy(&mut io::stdin().lock(), to).context("cannot read standard input")?;
            Ok(())
        })?,
        Some(file) => Archive { path: file.clone(), kept: Kept::Yes },
        None => {
            let source = source_of(paths, &lab, &args.image)?;
            spool(paths, name, |to| source.save_images(&args.image, to))?
        }
    };
    power::each(&on, |host| {
        let engine = Engine::at(paths.host(name, &host.name).engine_socket());
        for line in engine.load_images(archive.open()?)? {
            println!("{}: {line}", host.name);
        }
        Ok(())
    })?;
    Ok(ExitCode::SUCCESS)
}

/// An archive that can be read several times at once.
struct Archive {
    path: PathBuf,
    kept: Kept,
}

/// Whether an archive stays when it was loaded.
#[derive(PartialEq, Eq)]
enum Kept {
    Yes,
    No,
}

impl Archive {
    fn open(&self) -> anyhow::Result<File> {
        let file = File::open(&self.path)
            .with_context(|| format!("cannot open {}", self.path.display()))?;
        if !file.metadata()?.is_file() {
            bail!("{} is no file; `-` reads standard input", self.path.display());
        }
        Ok(file)
    }
}

impl Drop for Archive {
    fn drop(&mut self) {
        if self.kept == Kept::No {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn spool(
    paths: &Paths,
    name: &LabName,
    fill: impl FnOnce(&mut File) -> anyhow::Result<()>,
) -> anyhow::Result<Archive> {
    let path = paths.lab_state(name).join(format!("load-{}.tar", std::process::id()));
    let mut file = OpenOptions::new().create(true).write(true).truncate(true).open(&path)?;
    // From here on it is removed, whatever happens.
    let archive = Archive { path, kept: Kept::No };
    fill(&mut file)?;
    if file.stream_position()? == 0 {
        bail!("the archive is empty");
    }
    Ok(archive)
}

/// The first engine that has all images: the lab's hosts, then the machine's own.
fn source_of(paths: &Paths, lab: &Lab, images: &[String]) -> anyhow::Result<Engine> {
    let on = lab.hosts.iter().filter(|host| host.init().is_some());
    let sockets = on.map(|host| paths.host(&lab.name, &host.name).engine_socket());
    let machines_own = engine::machines_own();
    let described = machines_own.display().to_string();
    sockets
        .chain([machines_own])
        .map(Engine::at)
        .find(|engine| images.iter().all(|image| engine.has_image(image)))
        .with_context(|| {
            format!(
                "no host of lab `{}` and no engine at {described} has {}; build it there first",
                lab.name,
                images.join(" and ")
            )
        })
}
