//! Puts a built web page into a program: what a build script calls, of two programs.
//!
//! Input: the folder that the page's build writes, empty where nobody has built it. Output: a list of
//! its files as Rust source in `OUT_DIR`. The folder itself is in the repository, so that Cargo can
//! watch it: a path that is missing would make it build anew each time.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// Writes `OUT_DIR/{name}.rs`: an expression of type `&[(path, content)]`, sorted by path, empty when
/// the page is not built. Paths are those below `dist/page`.
///
/// # Panics
/// When a file cannot be read or written; the build stops with it.
pub fn page(name: &str, dist: &Path) {
    println!("cargo::rerun-if-changed={}", dist.display());
    let root = dist.join("page");
    let mut files = Vec::new();
    if root.join("index.html").is_file() {
        walk(&root, &mut files);
    }
    files.sort();
    let mut source = String::from("&[\n");
    for file in files {
        let path = file.strip_prefix(&root).expect("below the root").to_string_lossy();
        let absolute = fs::canonicalize(&file).expect("the file is there");
        writeln!(source, "    ({path:?}, include_bytes!({absolute:?})),").expect("to a String");
    }
    source.push_str("]\n");
    let out = env::var_os("OUT_DIR").expect("Cargo sets it");
    fs::write(PathBuf::from(out).join(format!("{name}.rs")), source).expect("OUT_DIR is writable");
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            walk(&path, files);
        } else {
            files.push(path);
        }
    }
}
