//! Which API is called and how it is proved to be the right one: an address, a context's name, the
//! environment, certificates and a token.
//!
//! What is said for one command goes before what is said for a shell, and both before what is kept:
//! `-H`, `--context`, `SWARMCTL_HOST`, `SWARMCTL_CONTEXT`, `DOCKER_HOST`, the context in use, the
//! agent's socket.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use crate::BadInput;
use crate::contexts::{Contexts, DEFAULT_CONTEXT};

/// Where the API is when nothing else is said.
pub const DEFAULT_HOST: &str = "unix:///run/swarmctl/docker.sock";

/// The part of a command's help that has what every command takes.
const API: &str = "Where the API is";

/// What was said on the command line.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Said {
    /// Where the API is: unix:///path or tcp://host:port [env: SWARMCTL_HOST, DOCKER_HOST]
    /// [default: the context in use, or the agent's socket]
    #[arg(short = 'H', long, value_name = "URL", help_heading = API)]
    pub host: Option<String>,
    /// The context to use for this command; see `swarmctl context` [env: SWARMCTL_CONTEXT]
    #[arg(long, global = true, value_name = "NAME", help_heading = API)]
    #[arg(add = crate::contexts::names())]
    pub context: Option<String>,
    #[command(flatten)]
    pub proof: Proof,
}

/// How a TCP address is proved to be the right one, and who asks.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
pub struct Proof {
    /// Trust only servers whose certificate is signed by this one [env: DOCKER_CERT_PATH/ca.pem]
    #[arg(long, global = true, value_name = "FILE", help_heading = API)]
    pub tlscacert: Option<PathBuf>,
    /// This client's certificate [env: DOCKER_CERT_PATH/cert.pem]
    #[arg(long, global = true, value_name = "FILE", help_heading = API, requires = "tlskey")]
    pub tlscert: Option<PathBuf>,
    /// The certificate's key [env: DOCKER_CERT_PATH/key.pem]
    #[arg(long, global = true, value_name = "FILE", help_heading = API, requires = "tlscert")]
    pub tlskey: Option<PathBuf>,
    /// A file with the token to show instead of a certificate [env: SWARMCTL_TOKEN: the token]
    #[arg(long, global = true, value_name = "FILE", help_heading = API)]
    pub token_file: Option<PathBuf>,
}

/// An API to call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoint {
    pub host: String,
    pub proof: Proof,
    /// Shown to servers reached by TLS only.
    pub token: Option<Token>,
}

/// A token, which no debug output shows.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Token(pub String);

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(..)")
    }
}

/// Reads a variable of the environment.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The process's own environment; an empty variable is none.
#[must_use]
pub fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

impl Endpoint {
    /// The API that a command is for.
    ///
    /// # Errors
    /// When a context is meant that does not exist or cannot be read.
    pub fn choose(said: &Said, env: Environment<'_>) -> anyhow::Result<Endpoint> {
        let contexts = Contexts::at_home(env);
        let host = |host| Endpoint { host, ..Endpoint::default() };
        if let (Some(host), Some(context)) = (&said.host, &said.context) {
            let text = format!("-H {host} or --context {context}: which one?");
            return Err(BadInput(text).into());
        }
        let mut chosen = if let Some(said) = &said.host {
            host(said.clone())
        } else if let Some(name) = &said.context {
            contexts.endpoint(name)?
        } else if let Some(value) = env("SWARMCTL_HOST") {
            host(value)
        } else if let Some(name) = env("SWARMCTL_CONTEXT") {
            contexts.endpoint(&name)?
        } else if let Some(value) = env("DOCKER_HOST") {
            host(value)
        } else {
            match contexts.current()? {
                name if name == DEFAULT_CONTEXT => host(DEFAULT_HOST.to_owned()),
                name => contexts.endpoint(&name)?,
            }
        };
        let folder = env("DOCKER_CERT_PATH").map(PathBuf::from);
        // As docker: a variable says that TLS is meant, another one where its files are.
        let by_files = folder.filter(|_| env("DOCKER_TLS_VERIFY").is_some());
        let of = |name: &str| by_files.as_ref().map(|folder| folder.join(name));
        let kept = std::mem::take(&mut chosen.proof);
        let first = |said: &Option<PathBuf>, kept: Option<PathBuf>, name: &str| {
            said.clone().or(kept).or_else(|| of(name).filter(|path| path.exists()))
        };
        chosen.proof = Proof {
            tlscacert: first(&said.proof.tlscacert, kept.tlscacert, "ca.pem"),
            tlscert: first(&said.proof.tlscert, kept.tlscert, "cert.pem"),
            tlskey: first(&said.proof.tlskey, kept.tlskey, "key.pem"),
            token_file: said.proof.token_file.clone().or(kept.token_file),
        };
        chosen.token = match &chosen.proof.token_file {
            Some(file) => {
                let text = std::fs::read_to_string(file)
                    .map_err(|error| BadInput(format!("{}: {error}", file.display())))?;
                Some(Token(text.trim().to_owned()))
            }
            None => env("SWARMCTL_TOKEN").map(Token),
        };
        Ok(chosen)
    }

    /// What a TLS connection needs; none when nothing asks for TLS.
    ///
    /// # Errors
    /// When a file cannot be read or is not what it should be.
    pub fn tls(&self) -> anyhow::Result<Option<Arc<ClientConfig>>> {
        let asked = self.host.starts_with("https://") || self.proof != Proof::default();
        if !asked && self.token.is_none() || self.host.starts_with("unix://") {
            return Ok(None);
        }
        let Some(ca) = &self.proof.tlscacert else {
            return Err(BadInput(format!(
                "{}: by what certificate is the server to be known? --tlscacert FILE: the one that signed its own",
                self.host
            ))
            .into());
        };
        let wrong = |path: &PathBuf, error: &dyn std::fmt::Display| {
            BadInput(format!("{}: {error}", path.display()))
        };
        let read = |path: &PathBuf| -> Result<Vec<CertificateDer<'static>>, BadInput> {
            CertificateDer::pem_file_iter(path)
                .and_then(Iterator::collect)
                .map_err(|error| wrong(path, &error))
        };
        let mut roots = RootCertStore::empty();
        for certificate in read(ca)? {
            roots.add(certificate).map_err(|error| wrong(ca, &error))?;
        }
        if roots.is_empty() {
            return Err(wrong(ca, &"there is no certificate in it (PEM is meant)").into());
        }
        let config =
            ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()?
                .with_root_certificates(roots);
        let config = match (&self.proof.tlscert, &self.proof.tlskey) {
            (Some(certificate), Some(key)) => {
                let key_read = PrivateKeyDer::from_pem_file(key).map_err(|e| wrong(key, &e))?;
                config
                    .with_client_auth_cert(read(certificate)?, key_read)
                    .map_err(|error| wrong(certificate, &error))?
            }
            _ => config.with_no_client_auth(),
        };
        Ok(Some(Arc::new(config)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn chosen(said: &Said, variables: &[(&str, &str)]) -> anyhow::Result<Endpoint> {
        let home = tempfile::tempdir().expect("a folder");
        let mut variables: BTreeMap<&str, String> =
            variables.iter().map(|(k, v)| (*k, (*v).to_owned())).collect();
        variables.insert("DOCKER_CONFIG", home.path().display().to_string());
        let contexts = Contexts::at(home.path().to_owned());
        for name in ["lab", "prod"] {
            let host = format!("tcp://{name}:2376");
            contexts.create(name, "", &Endpoint { host, ..Endpoint::default() }).expect("kept");
        }
        contexts.use_(&variables.remove("in use").unwrap_or("default".into())).expect("in use");
        Endpoint::choose(said, &|name| variables.get(name).cloned())
    }

    #[test]
    fn what_is_said_closer_to_the_command_goes_first() {
        let host = |said: &Said, variables: &[(&str, &str)]| {
            chosen(said, variables).expect("an address").host
        };
        let mut variables = vec![("in use", "lab")];
        let said = Said::default();
        assert_eq!(host(&said, &[]), DEFAULT_HOST);
        assert_eq!(host(&said, &variables), "tcp://lab:2376");
        variables.push(("DOCKER_HOST", "unix:///docker"));
        assert_eq!(host(&said, &variables), "unix:///docker");
        variables.push(("SWARMCTL_CONTEXT", "prod"));
        assert_eq!(host(&said, &variables), "tcp://prod:2376");
        variables.push(("SWARMCTL_HOST", "unix:///own"));
        assert_eq!(host(&said, &variables), "unix:///own");
        let said = Said { context: Some("lab".into()), ..Said::default() };
        assert_eq!(host(&said, &variables), "tcp://lab:2376");
        let said = Said { host: Some("unix:///here".into()), ..Said::default() };
        assert_eq!(host(&said, &variables), "unix:///here");
    }

    #[test]
    fn a_context_that_does_not_exist_is_named_with_those_that_do() {
        let said = Said { context: Some("pord".into()), ..Said::default() };
        let error = chosen(&said, &[]).expect_err("no such context").to_string();
        assert_eq!(
            error,
            "no context \"pord\" (contexts: default, lab, prod); nothing was changed"
        );
    }

    #[test]
    fn docker_s_variables_say_where_the_certificates_are() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("ca.pem"), "").expect("written");
        let path = folder.path().display().to_string();
        let files = [("DOCKER_HOST", "tcp://m1:2376"), ("DOCKER_CERT_PATH", path.as_str())];
        let plain = chosen(&Said::default(), &files).expect("an address");
        assert_eq!(plain.proof, Proof::default(), "DOCKER_TLS_VERIFY is not set");
        let verify = [&files[..], &[("DOCKER_TLS_VERIFY", "1")]].concat();
        let proved = chosen(&Said::default(), &verify).expect("an address");
        assert_eq!(proved.proof.tlscacert, Some(folder.path().join("ca.pem")));
        assert_eq!(proved.proof.tlscert, None, "there is no such file");
        let error = proved.tls().expect_err("an empty file").to_string();
        assert!(error.contains("there is no certificate in it"), "{error}");
    }

    #[test]
    fn a_token_goes_only_to_a_server_that_is_known() {
        let said = Said { host: Some("tcp://m1:2376".into()), ..Said::default() };
        let endpoint = chosen(&said, &[("SWARMCTL_TOKEN", "s3cret")]).expect("an address");
        assert!(!format!("{endpoint:?}").contains("s3cret"));
        let error = endpoint.tls().expect_err("no certificate to know it by").to_string();
        assert!(error.contains("--tlscacert"), "{error}");
    }
}
