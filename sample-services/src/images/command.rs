//! `images`: writes the archives for `docker load`, or folders for `docker build`.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use clap::{Parser, ValueEnum};

use super::catalogue::Catalogue;
use super::{context, image};

/// Writes the images of the demo stack as files for `docker load`
#[derive(Parser)]
#[command(name = "images", version)]
struct Arguments {
    /// Folder to write to
    #[arg(long)]
    out: PathBuf,
    /// Which archives to write
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Set::Demo, Set::Probe, Set::Redis])]
    only: Vec<Set>,
    /// The program of swarmctl.tar, stripped; default: `swarmctl` beside this program
    #[arg(long, value_name = "PROGRAM")]
    swarmctl: Option<PathBuf>,
    /// The program to pack, stripped; default: this one
    #[arg(long)]
    program: Option<PathBuf>,
    /// Write folders with a Dockerfile for `docker build` instead
    #[arg(long)]
    build_context: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Set {
    /// demo.tar: the demo's services and Redis
    Demo,
    /// probe.tar: the test image
    Probe,
    /// redis.tar: Redis alone
    Redis,
    /// swarmctl.tar: the command line
    Swarmctl,
}

impl Set {
    fn name(self) -> &'static str {
        match self {
            Self::Demo => "demo",
            Self::Probe => "probe",
            Self::Redis => "redis",
            Self::Swarmctl => "swarmctl",
        }
    }
}

pub fn run(arguments: Vec<OsString>) -> anyhow::Result<()> {
    let Arguments { out, only, swarmctl, program, build_context } =
        Arguments::parse_from(arguments);
    let path = match program {
        Some(path) => path,
        None => std::env::current_exe().context("find this program's own file")?,
    };
    let program = stripped(&path)?;
    for set in only {
        let catalogue = match set {
            Set::Demo => Catalogue::demo(&program).and(Catalogue::redis()?),
            Set::Probe => Catalogue::probe(&program),
            Set::Redis => Catalogue::redis()?,
            Set::Swarmctl => {
                let beside = || path.with_file_name("swarmctl");
                Catalogue::swarmctl(&stripped(&swarmctl.clone().unwrap_or_else(beside))?)
            }
        };
        if build_context {
            context::write(&catalogue, &out.join(set.name()))?;
        } else {
            let content = image::archive(&catalogue.layers, &catalogue.images)?;
            replace(&out.join(format!("{}.tar", set.name())), &content)?;
        }
        for tag in catalogue.images.iter().flat_map(|image| &image.tags) {
            println!("{}\t{tag}", set.name());
        }
    }
    Ok(())
}

/// The program without what only a debugger needs: a third of the size for a development build.
/// Where there is no `strip` (it comes with every linker) the program is packed as it is.
fn stripped(path: &Path) -> anyhow::Result<Vec<u8>> {
    let read = |path: &Path| fs::read(path).with_context(|| format!("read {}", path.display()));
    let copy = std::env::temp_dir().join(format!("sample-services.{}", std::process::id()));
    let strip = Command::new("strip").arg("-o").arg(&copy).arg(path).output();
    let program = match strip {
        Ok(output) if output.status.success() => read(&copy),
        _ => read(path),
    };
    // Absent when there was nothing to strip with.
    let _ = fs::remove_file(&copy);
    program
}

/// Writes the file whole or not at all, so that nobody loads half an archive.
fn replace(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    let unfinished = path.with_extension("tar.unfinished");
    fs::write(&unfinished, content).with_context(|| format!("write {}", unfinished.display()))?;
    fs::rename(&unfinished, path).with_context(|| format!("write {}", path.display()))
}
