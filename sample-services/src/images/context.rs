//! The same images as input for `docker build`: a Dockerfile with one stage per image, and the
//! layers as archives that `ADD` unpacks. See `images/build.sh`.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::Context as _;

use super::catalogue::Catalogue;
use super::image::{Config, Image};

/// Writes `Dockerfile`, `layer-N.tar` and `targets` (stage, tab, tag) to `folder`.
///
/// # Errors
/// When the folder cannot be written.
pub fn write(catalogue: &Catalogue, folder: &Path) -> anyhow::Result<()> {
    let put = |name: &str, content: &[u8]| {
        let path = folder.join(name);
        fs::write(&path, content).with_context(|| format!("write {}", path.display()))
    };
    fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    for (number, layer) in catalogue.layers.iter().enumerate() {
        put(&format!("layer-{number}.tar"), &layer.tree.archive()?)?;
    }
    let mut dockerfile = String::new();
    let mut targets = String::new();
    for (number, image) in catalogue.images.iter().enumerate() {
        let stage = format!("image-{number}");
        dockerfile.push_str(&stage_text(&stage, image));
        for tag in &image.tags {
            writeln!(targets, "{stage}\t{tag}").context("write a line")?;
        }
    }
    put("Dockerfile", dockerfile.as_bytes())?;
    put("targets", targets.as_bytes())
}

fn stage_text(stage: &str, image: &Image) -> String {
    let Config {
        env,
        entrypoint,
        cmd,
        working_dir,
        stop_signal,
        exposed_ports,
        volumes,
        healthcheck,
        labels,
    } = &image.config;
    let list = |words: &[String]| serde_json::to_string(words).expect("texts are JSON");
    let mut lines = vec![format!("FROM scratch AS {stage}")];
    lines.extend(image.layers.iter().map(|layer| format!("ADD layer-{layer}.tar /")));
    lines.extend(env.iter().map(|variable| format!("ENV {variable}")));
    lines.extend(labels.iter().map(|(name, value)| format!("LABEL {name}={value:?}")));
    lines.extend(exposed_ports.keys().map(|port| format!("EXPOSE {port}")));
    lines.extend(volumes.keys().map(|path| format!("VOLUME {path}")));
    lines.push(format!("WORKDIR {working_dir}"));
    if !stop_signal.is_empty() {
        lines.push(format!("STOPSIGNAL {stop_signal}"));
    }
    if let Some(check) = healthcheck {
        // StartInterval is left out: engines before 25 refuse a Dockerfile that has it.
        lines.push(format!(
            "HEALTHCHECK --interval={}ms --timeout={}ms --start-period={}ms --retries={} CMD {}",
            check.interval / 1_000_000,
            check.timeout / 1_000_000,
            check.start_period / 1_000_000,
            check.retries,
            list(&check.test[1..]),
        ));
    }
    for (word, words) in [("ENTRYPOINT", entrypoint), ("CMD", cmd)] {
        if !words.is_empty() {
            lines.push(format!("{word} {}", list(words)));
        }
    }
    lines.join("\n") + "\n\n"
}
