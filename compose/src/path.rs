//! Paths: of keys in a document, and of files in a project.

use std::fmt;

/// The path of a key, as a chain of borrowed steps; made into text only when a problem needs it.
#[derive(Clone, Copy)]
pub struct KeyPath<'a> {
    parent: Option<&'a KeyPath<'a>>,
    step: Step<'a>,
}

#[derive(Clone, Copy)]
enum Step<'a> {
    Root,
    Key(&'a str),
    Index(usize),
}

impl<'a> KeyPath<'a> {
    /// The document itself.
    pub const ROOT: KeyPath<'static> = KeyPath { parent: None, step: Step::Root };

    /// The value of `key` below this.
    #[must_use]
    pub fn key<'b>(&'b self, key: &'b str) -> KeyPath<'b> {
        KeyPath { parent: Some(self), step: Step::Key(key) }
    }

    /// The list item `index`, from 0, below this.
    #[must_use]
    pub fn index<'b>(&'b self, index: usize) -> KeyPath<'b> {
        KeyPath { parent: Some(self), step: Step::Index(index) }
    }
}

impl fmt::Display for KeyPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            parent.fmt(f)?;
        }
        match self.step {
            Step::Root => Ok(()),
            Step::Key(key) => {
                if self.parent.is_some_and(|p| !matches!(p.step, Step::Root)) {
                    f.write_str(".")?;
                }
                f.write_str(key)
            }
            Step::Index(index) => write!(f, "[{index}]"),
        }
    }
}

/// `path` below `base`, absolute, without `.`, `..` and double slashes. The parent of `/` is `/`.
#[must_use]
pub fn absolute(base: &str, path: &str) -> String {
    let joined = if path.starts_with('/') { path.to_owned() } else { format!("{base}/{path}") };
    let mut parts: Vec<&str> = Vec::new();
    for part in joined.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            _ => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// The directory of a path.
#[must_use]
pub fn parent(path: &str) -> &str {
    match path.rfind('/') {
        Some(0) | None => "/",
        Some(at) => &path[..at],
    }
}

/// True for `C:\x`, `C:/x` and `\\server`: such a path is meant for a Windows node.
#[must_use]
pub fn is_windows(path: &str) -> bool {
    let bytes = path.as_bytes();
    path.starts_with("\\\\")
        || (bytes.len() > 2
            && bytes[0].is_ascii_alphabetic()
            && bytes[1] == b':'
            && matches!(bytes[2], b'\\' | b'/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_paths_read_as_people_write_them() {
        let services = KeyPath::ROOT.key("services");
        let web = services.key("web");
        let ports = web.key("ports");
        assert_eq!(ports.index(2).to_string(), "services.web.ports[2]");
    }

    #[test]
    fn file_paths_become_absolute_and_stay_below_the_root() {
        assert_eq!(absolute("/p", "./a/../b"), "/p/b");
        assert_eq!(absolute("/p", "../../x"), "/x");
        assert_eq!(absolute("/p", "/x//y/"), "/x/y");
        assert_eq!(parent("/a/b"), "/a");
        assert_eq!(parent("/a"), "/");
    }
}
