//! Contexts: names for clusters, kept where and as the docker CLI keeps its own.
//!
//! One store for both programs: what `docker context create` made, `swarmctl --context` knows, and
//! the other way round. Which context is in use is each program's own affair: docker's may well be
//! an engine that is no cluster. Format: docs.docker.com/engine/manage-resources/contexts.

use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::BadInput;
use crate::endpoint::{DEFAULT_HOST, Endpoint, Environment, Proof, environment};

/// The one that is always there: this host's agent.
pub const DEFAULT_CONTEXT: &str = "default";

/// The store.
#[derive(Clone, Debug)]
pub struct Contexts {
    folder: PathBuf,
}

/// A context as it is listed.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Context {
    pub name: String,
    pub current: bool,
    pub description: String,
    pub host: String,
    /// Files that prove the server and the client.
    #[serde(rename = "TLS")]
    pub tls: Vec<String>,
}

/// `meta.json`, as docker writes it.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Meta {
    name: String,
    #[serde(default)]
    metadata: Metadata,
    #[serde(default)]
    endpoints: Endpoints,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Metadata {
    #[serde(skip_serializing_if = "String::is_empty")]
    description: String,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Endpoints {
    docker: DockerEndpoint,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct DockerEndpoint {
    host: String,
    #[serde(rename = "SkipTLSVerify")]
    skip_tls_verify: bool,
}

/// What is ours beside docker's store.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Own {
    current_context: String,
}

const FILES: [&str; 3] = ["ca.pem", "cert.pem", "key.pem"];
/// Beside docker's endpoint, which knows no tokens.
const TOKEN: &str = "swarmctl/token";

impl Contexts {
    /// The user's: `$DOCKER_CONFIG`, else `~/.docker`.
    #[must_use]
    pub fn at_home(env: Environment<'_>) -> Contexts {
        let home = || PathBuf::from(env("HOME").unwrap_or_else(|| "/".into())).join(".docker");
        Contexts::at(env("DOCKER_CONFIG").map_or_else(home, PathBuf::from))
    }

    /// In a folder.
    #[must_use]
    pub fn at(folder: PathBuf) -> Contexts {
        Contexts { folder }
    }

    /// Every context, the default one first, then by name.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn list(&self) -> anyhow::Result<Vec<Context>> {
        let current = self.current()?;
        let mut found = Vec::new();
        let folders = match std::fs::read_dir(self.folder.join("contexts/meta")) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            folders => folders?.collect::<Result<Vec<_>, _>>()?,
        };
        for folder in folders {
            let Some(meta) = read::<Meta>(&folder.path().join("meta.json"))? else { continue };
            found.push(self.shown(meta, &current));
        }
        found.sort_by(|a, b| a.name.cmp(&b.name));
        found.insert(
            0,
            Context {
                name: DEFAULT_CONTEXT.to_owned(),
                current: current == DEFAULT_CONTEXT,
                description: "The agent of this host, or what the environment says".to_owned(),
                host: environment("SWARMCTL_HOST")
                    .or_else(|| environment("DOCKER_HOST"))
                    .unwrap_or_else(|| DEFAULT_HOST.to_owned()),
                tls: Vec::new(),
            },
        );
        Ok(found)
    }

    fn shown(&self, meta: Meta, current: &str) -> Context {
        let folder = self.secrets(&meta.name);
        let tls = FILES.iter().copied().map(|name| folder.join("docker").join(name));
        let tls = tls.chain([folder.join(TOKEN)]).filter(|path| path.exists());
        Context {
            current: meta.name == current,
            description: meta.metadata.description,
            host: meta.endpoints.docker.host,
            tls: tls.map(|path| path.display().to_string()).collect(),
            name: meta.name,
        }
    }

    /// The API that a context stands for.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn endpoint(&self, name: &str) -> anyhow::Result<Endpoint> {
        if name == DEFAULT_CONTEXT {
            return Ok(Endpoint { host: DEFAULT_HOST.to_owned(), ..Endpoint::default() });
        }
        let Some(meta) = read::<Meta>(&self.meta(name))? else { return Err(self.missing(name)) };
        let folder = self.secrets(name);
        let file = |name: &str| Some(folder.join(name)).filter(|path| path.exists());
        let docker = meta.endpoints.docker;
        if docker.skip_tls_verify {
            let text =
                "trusts any server (SkipTLSVerify), which swarmctl does not; give it a ca.pem";
            return Err(BadInput(format!("the context {name:?} {text}")).into());
        }
        let proof = Proof {
            tlscacert: file("docker/ca.pem"),
            tlscert: file("docker/cert.pem"),
            tlskey: file("docker/key.pem"),
            token_file: file(TOKEN),
        };
        Ok(Endpoint { host: docker.host, proof, token: None })
    }

    /// The name of the context in use.
    ///
    /// # Errors
    /// When the file that says so cannot be read.
    pub fn current(&self) -> anyhow::Result<String> {
        let own: Own = read(&self.folder.join("swarmctl.json"))?.unwrap_or_default();
        let none = own.current_context.is_empty();
        Ok(if none { DEFAULT_CONTEXT.to_owned() } else { own.current_context })
    }

    /// Uses a context from now on.
    ///
    /// # Errors
    /// When there is none of that name, or it cannot be written down.
    pub fn use_(&self, name: &str) -> anyhow::Result<()> {
        if name != DEFAULT_CONTEXT && !self.meta(name).exists() {
            return Err(self.missing(name));
        }
        let own = Own { current_context: name.to_owned() };
        std::fs::create_dir_all(&self.folder)?;
        write(&self.folder.join("swarmctl.json"), &serde_json::to_vec_pretty(&own)?)
    }

    /// Keeps an API under a name. Its files are copied.
    ///
    /// # Errors
    /// When the name is taken or is none, a file cannot be read, or the store not be written.
    pub fn create(&self, name: &str, description: &str, api: &Endpoint) -> anyhow::Result<()> {
        let first = name.chars().next().is_some_and(|c| c.is_ascii_alphanumeric());
        let rest = name.chars().all(|c| c.is_ascii_alphanumeric() || "_.+-".contains(c));
        if !first || !rest || name.len() < 2 {
            let text = "is no name for a context: letters, digits and _.+- are, two or more, a letter or digit first";
            return Err(BadInput(format!("{name:?} {text}")).into());
        }
        if name == DEFAULT_CONTEXT || self.meta(name).exists() {
            let text = format!("there is a context {name:?} (swarmctl context rm {name})");
            return Err(BadInput(text).into());
        }
        let folder = self.secrets(name);
        let files = [
            (&api.proof.tlscacert, "docker/ca.pem"),
            (&api.proof.tlscert, "docker/cert.pem"),
            (&api.proof.tlskey, "docker/key.pem"),
            (&api.proof.token_file, TOKEN),
        ];
        // All are read before anything is written.
        let mut contents = Vec::new();
        for (file, kept) in files {
            let Some(file) = file else { continue };
            let bytes = std::fs::read(file)
                .map_err(|error| BadInput(format!("{}: {error}", file.display())))?;
            contents.push((folder.join(kept), bytes));
        }
        for (path, bytes) in contents {
            std::fs::create_dir_all(path.parent().unwrap_or(&folder))?;
            write(&path, &bytes)?;
        }
        let meta = Meta {
            name: name.to_owned(),
            metadata: Metadata { description: description.to_owned() },
            endpoints: Endpoints {
                docker: DockerEndpoint { host: api.host.clone(), skip_tls_verify: false },
            },
        };
        let path = self.meta(name);
        std::fs::create_dir_all(path.parent().unwrap_or(&self.folder))?;
        write(&path, &serde_json::to_vec(&meta)?)
    }

    /// Forgets a context.
    ///
    /// # Errors
    /// When there is none, it is in use and not `forced`, or its files cannot be removed.
    pub fn remove(&self, name: &str, forced: bool) -> anyhow::Result<()> {
        if name == DEFAULT_CONTEXT {
            return Err(BadInput("the context \"default\" cannot be removed".into()).into());
        }
        if !self.meta(name).exists() {
            return Err(self.missing(name));
        }
        if self.current()? == name {
            anyhow::ensure!(
                forced,
                "the context {name:?} is in use (swarmctl context use default, or --force)"
            );
            self.use_(DEFAULT_CONTEXT)?;
        }
        match std::fs::remove_dir_all(self.secrets(name)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        let meta = self.meta(name);
        Ok(std::fs::remove_dir_all(meta.parent().unwrap_or(&meta))?)
    }

    fn missing(&self, name: &str) -> anyhow::Error {
        let known = self.list().unwrap_or_default();
        let known: Vec<String> = known.into_iter().map(|context| context.name).collect();
        BadInput(format!("no context {name:?} (contexts: {})", known.join(", "))).into()
    }

    fn meta(&self, name: &str) -> PathBuf {
        self.folder.join("contexts/meta").join(digest(name)).join("meta.json")
    }

    fn secrets(&self, name: &str) -> PathBuf {
        self.folder.join("contexts/tls").join(digest(name))
    }
}

/// Names of contexts, for completion in a shell.
#[must_use]
pub fn names() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let contexts = Contexts::at_home(&environment).list().unwrap_or_default();
        contexts.into_iter().map(|context| CompletionCandidate::new(context.name)).collect()
    })
}

fn digest(name: &str) -> String {
    data_encoding::HEXLOWER.encode(&Sha256::digest(name))
}

/// None when there is no such file.
fn read<T: serde::de::DeserializeOwned>(path: &Path) -> anyhow::Result<Option<T>> {
    let text = match std::fs::read(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        text => text.map_err(|error| BadInput(format!("{}: {error}", path.display())))?,
    };
    let read = serde_json::from_slice(&text);
    Ok(Some(read.map_err(|error| BadInput(format!("{}: {error}", path.display())))?))
}

/// Readable only by its owner; whole or not at all.
fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    use std::io::Write as _;
    let new = path.with_extension("new");
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    Ok(std::fs::rename(&new, path)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, Contexts) {
        let folder = tempfile::tempdir().expect("a folder");
        let contexts = Contexts::at(folder.path().to_owned());
        (folder, contexts)
    }

    fn at(host: &str) -> Endpoint {
        Endpoint { host: host.to_owned(), ..Endpoint::default() }
    }

    #[test]
    fn a_context_is_kept_used_and_forgotten() {
        let (folder, contexts) = store();
        let ca = folder.path().join("some-ca");
        std::fs::write(&ca, "a certificate").expect("written");
        let mut api = at("tcp://m1:2376");
        api.proof.tlscacert = Some(ca);
        contexts.create("prod", "the shop", &api).expect("kept");
        contexts.use_("prod").expect("in use");
        assert_eq!(contexts.current().expect("one"), "prod");
        let found = contexts.endpoint("prod").expect("there");
        let kept = found.proof.tlscacert.expect("its own copy");
        assert_eq!(std::fs::read_to_string(&kept).expect("read"), "a certificate");

        assert!(contexts.create("prod", "", &api).is_err(), "the name is taken");
        assert!(contexts.remove("prod", false).is_err(), "it is in use");
        contexts.remove("prod", true).expect("forgotten");
        assert_eq!(contexts.current().expect("one"), DEFAULT_CONTEXT);
        assert!(contexts.endpoint("prod").is_err());
        assert!(!kept.exists());
    }

    #[test]
    fn what_docker_wrote_is_read() {
        let (folder, contexts) = store();
        // As `docker context create remote --docker host=tcp://m1:2376` names and writes it.
        let digest = "b71199ebd070b36beab7317920c2c2f1d777df8d05e5527d8458fda57cb17a7a";
        let meta = folder.path().join("contexts/meta").join(digest);
        std::fs::create_dir_all(&meta).expect("a folder");
        let text = r#"{"Name":"remote","Metadata":{"Description":"d","Extra":1},
            "Endpoints":{"docker":{"Host":"tcp://m1:2376","SkipTLSVerify":false}}}"#;
        std::fs::write(meta.join("meta.json"), text).expect("written");
        assert_eq!(contexts.endpoint("remote").expect("there").host, "tcp://m1:2376");
        let names: Vec<String> =
            contexts.list().expect("a list").into_iter().map(|context| context.name).collect();
        assert_eq!(names, ["default", "remote"]);
    }

    #[test]
    fn a_wrong_name_or_file_keeps_nothing() {
        let (folder, contexts) = store();
        for name in ["default", "", "a", "-x", "a/b", "../x", "a b"] {
            assert!(contexts.create(name, "", &at("tcp://m1:2376")).is_err(), "{name}");
        }
        let mut api = at("tcp://m1:2376");
        api.proof.token_file = Some(folder.path().join("missing"));
        assert!(contexts.create("prod", "", &api).is_err());
        assert_eq!(contexts.list().expect("a list").len(), 1);
        assert!(!folder.path().join("contexts").exists());
    }
}
