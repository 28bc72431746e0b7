//! Packs programs that are installed on this Debian machine with every library they need.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail, ensure};

use super::tar::Tree;

/// Adds `program` at its own path, and its libraries and loader at theirs.
///
/// # Errors
/// When the program is not there or its libraries cannot be found.
pub fn add_program(tree: &mut Tree, program: &Path) -> anyhow::Result<()> {
    add_file(tree, program)?;
    for library in libraries(program)? {
        if !tree.has(&library.to_string_lossy()) {
            add_file(tree, &library)?;
        }
    }
    Ok(())
}

/// Where the program is, of the usual places.
pub fn find(program: &str) -> Option<PathBuf> {
    ["/usr/bin", "/usr/sbin", "/bin", "/sbin"]
        .iter()
        .map(|folder| Path::new(folder).join(program))
        .find(|path| path.is_file())
}

/// The version of an installed package, if it is one.
pub fn package_version(package: &str) -> Option<String> {
    let query = ["-W", "-f", "${Version}", package];
    let output = Command::new("dpkg-query").args(query).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Follows links, so that the image holds one plain file where the machine may have several names.
fn add_file(tree: &mut Tree, path: &Path) -> anyhow::Result<()> {
    let content = fs::read(path).with_context(|| format!("read {}", path.display()))?;
    tree.file(&path.to_string_lossy(), 0o755, content);
    Ok(())
}

/// What the dynamic loader would load, and the loader itself.
fn libraries(program: &Path) -> anyhow::Result<BTreeSet<PathBuf>> {
    let output = Command::new("ldd").arg(program).output().context("run ldd")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    if text.contains("not a dynamic executable") || errors.contains("not a dynamic executable") {
        return Ok(BTreeSet::new());
    }
    ensure!(output.status.success(), "ldd {}: {}", program.display(), errors.trim());
    parse(&text).with_context(|| format!("libraries of {}", program.display()))
}

/// Lines of ldd: `name => /path (0x…)`, `/loader (0x…)`, `linux-vdso.so.1 (0x…)`.
fn parse(text: &str) -> anyhow::Result<BTreeSet<PathBuf>> {
    let mut found = BTreeSet::new();
    for line in text.lines().map(str::trim) {
        let path = line.split_once(" => ").map_or(line, |(_, path)| path);
        if path.starts_with("not found") {
            bail!("{line}");
        }
        if path.starts_with('/') {
            found.insert(PathBuf::from(path.split(" (").next().unwrap_or(path)));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_and_loader_are_read_from_what_ldd_prints() {
        let text = "\tlinux-vdso.so.1 (0x00007ffc)\n\tlibm.so.6 => /lib/x/libm.so.6 (0x00007f)\n\
                    \t/lib64/ld-linux-x86-64.so.2 (0x00007f)\n";
        let found = parse(text).expect("well formed");
        let wanted = ["/lib/x/libm.so.6", "/lib64/ld-linux-x86-64.so.2"].map(PathBuf::from);
        assert_eq!(found, BTreeSet::from(wanted));
        assert!(parse("\tlibx.so.1 => not found\n").is_err());
    }
}
