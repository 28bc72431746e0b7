//! Compose files from disk or standard input to a stack, with everything that is wrong printed.

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Read as _};
use std::path::{Path, PathBuf};

use compose::{
    Colour, Input, InputFile, Loaded, Normalised, Problems, ReadError, Reader, Severity,
};

/// Which files make a stack.
#[derive(Debug, clap::Args)]
pub struct Files {
    /// A Compose file; several are merged in order; `-` reads standard input [default: compose.yml
    /// or docker-compose.yml, and its override beside it]
    #[arg(
        short = 'c',
        short_alias = 'f',
        long = "compose-file",
        alias = "file",
        value_name = "FILE"
    )]
    compose_file: Vec<String>,
    /// Where relative paths start [default: the first file's directory]
    #[arg(long, value_name = "DIR")]
    project_directory: Option<PathBuf>,
    /// Also services of this profile; `*` means all
    #[arg(long, value_name = "PROFILE")]
    profile: Vec<String>,
}

/// The files are wrong. What is wrong has been printed.
#[derive(Debug, thiserror::Error)]
#[error("nothing was changed")]
pub struct Wrong;

/// What is looked for where no file is named: in this order, each with what overrides it.
const DEFAULTS: [(&str, &str); 4] = [
    ("compose.yml", "compose.override.yml"),
    ("compose.yaml", "compose.override.yaml"),
    ("docker-compose.yml", "docker-compose.override.yml"),
    ("docker-compose.yaml", "docker-compose.override.yaml"),
];

/// The largest file that is read beside the Compose files, bytes: more than any secret may have.
const MAX_FILE: u64 = 4 << 20;

impl Files {
    /// The stack of this name, ready to be sent.
    ///
    /// # Errors
    /// [`Wrong`] when anything in the files is wrong; others when a file cannot be read.
    pub fn load(&self, stack: &str) -> anyhow::Result<Loaded> {
        match compose::load(&self.input(stack)?) {
            Ok(loaded) => {
                tell(&loaded.warnings);
                Ok(loaded)
            }
            Err(problems) => {
                tell(&problems);
                Err(Wrong.into())
            }
        }
    }

    /// What the files say, even if it could not be deployed; and whether it could.
    ///
    /// # Errors
    /// [`Wrong`] when the files do not say anything; others when a file cannot be read.
    pub fn normalise(&self, stack: &str) -> anyhow::Result<(Normalised, Verdict)> {
        match compose::normalise(&self.input(stack)?) {
            Ok(shown) => {
                tell(&shown.problems);
                let verdict =
                    if shown.problems.has_errors() { Verdict::Wrong } else { Verdict::Right };
                Ok((shown, verdict))
            }
            Err(problems) => {
                tell(&problems);
                Err(Wrong.into())
            }
        }
    }

    fn input(&self, stack: &str) -> anyhow::Result<Input<'static>> {
        let cwd = std::env::current_dir()?;
        let named = self.names(&cwd)?;
        let project_dir = self.project_directory(&cwd, &named)?;
        let mut files = Vec::new();
        for name in &named {
            let bytes = bytes_of(name)?;
            // Names are shown as they were typed, where they are found from the project as well.
            let path = cwd.join(name);
            let name = match path.strip_prefix(&project_dir) {
                _ if name == "-" => "stdin".to_owned(),
                Ok(below) => below.display().to_string(),
                Err(_) => std::path::absolute(&path)?.display().to_string(),
            };
            files.push(InputFile { name, bytes });
        }
        Ok(Input {
            files,
            project_dir: project_dir.display().to_string(),
            environment: std::env::vars_os()
                .filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)))
                .collect::<BTreeMap<_, _>>(),
            reader: &Disk,
            stack: stack.to_owned(),
            profiles: self.profile.clone(),
        })
    }

    fn names(&self, cwd: &Path) -> anyhow::Result<Vec<String>> {
        if !self.compose_file.is_empty() {
            return Ok(self.compose_file.clone());
        }
        let dir = self.project_directory.as_deref().map_or(cwd.to_owned(), |dir| cwd.join(dir));
        for (file, over) in DEFAULTS {
            if dir.join(file).is_file() {
                let both = [file, over].map(|name| dir.join(name));
                let there = both.iter().filter(|path| path.is_file());
                return Ok(there.map(|path| shown(path, cwd)).collect());
            }
        }
        let looked_for = DEFAULTS.map(|(file, _)| file).join(", ");
        anyhow::bail!(
            "no Compose file in {}: looked for {looked_for} (another file: -c FILE)",
            dir.display()
        )
    }

    fn project_directory(&self, cwd: &Path, named: &[String]) -> anyhow::Result<PathBuf> {
        let directory = match (&self.project_directory, named.first()) {
            (Some(directory), _) => cwd.join(directory),
            (None, Some(file)) if file != "-" => {
                cwd.join(Path::new(file).parent().unwrap_or(Path::new("")))
            }
            (None, _) => cwd.to_owned(),
        };
        // Without `.` and `..`, and symbolic links as they are: paths are shown as they were typed.
        anyhow::ensure!(
            directory.is_dir(),
            "the project's directory {} is not there",
            directory.display()
        );
        Ok(PathBuf::from(compose::path::absolute("/", &directory.display().to_string())))
    }
}

/// Whether a stack could be deployed from the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Right,
    Wrong,
}

fn shown(path: &Path, cwd: &Path) -> String {
    path.strip_prefix(cwd).unwrap_or(path).display().to_string()
}

/// Prints problems, the errors last, where they are read first.
fn tell(problems: &Problems) {
    if problems.is_empty() {
        return;
    }
    let colour = if std::io::stderr().is_terminal() { Colour::Always } else { Colour::Never };
    eprint!("{}", problems.render(colour));
    let count = |severity| problems.list.iter().filter(|p| p.severity == severity).count();
    let errors = count(Severity::Error);
    if errors > 0 {
        let plural = |number: usize| if number == 1 { "" } else { "s" };
        let warnings = count(Severity::Warning);
        eprintln!(
            "{errors} error{}, {warnings} warning{}: nothing was changed",
            plural(errors),
            plural(warnings)
        );
    }
}

/// The bytes of a Compose file; one more than is allowed is enough of it.
fn bytes_of(name: &str) -> anyhow::Result<Vec<u8>> {
    let most = compose::yaml::encoding::LARGEST as u64 + 1;
    let mut bytes = Vec::new();
    if name == "-" {
        std::io::stdin().take(most).read_to_end(&mut bytes)?;
        return Ok(bytes);
    }
    let read = std::fs::File::open(name).and_then(|file| file.take(most).read_to_end(&mut bytes));
    read.map_err(|e| anyhow::anyhow!("{name}: {e} (another file: -c FILE)"))?;
    Ok(bytes)
}

/// The files of this machine.
struct Disk;

impl Reader for Disk {
    fn read(&self, path: &str) -> Result<Vec<u8>, ReadError> {
        let other = |e: std::io::Error| match e.kind() {
            std::io::ErrorKind::NotFound => ReadError::NotFound,
            _ => ReadError::Other(e.to_string()),
        };
        // Opening a pipe that nobody writes to would wait for ever.
        if !std::fs::metadata(path).map_err(other)?.is_file() {
            return Err(ReadError::Other("it is not a file".to_owned()));
        }
        let file = std::fs::File::open(path).map_err(other)?;
        let mut bytes = Vec::new();
        file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(other)?;
        if bytes.len() as u64 > MAX_FILE {
            return Err(ReadError::Other(format!("larger than {MAX_FILE} bytes")));
        }
        Ok(bytes)
    }
}
