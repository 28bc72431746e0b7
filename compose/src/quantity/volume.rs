//! Mounts in their short form: `[source:]target[:options]`.

/// A short form in its parts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShortVolume {
    /// Empty: a volume without a name.
    pub source: String,
    pub target: String,
    pub read_only: bool,
    pub no_copy: bool,
    /// `z` or `Z`.
    pub selinux: Option<char>,
    /// One of [`PROPAGATIONS`].
    pub propagation: String,
    pub consistency: String,
    pub subpath: String,
    /// Options that mean nothing.
    pub unknown: Vec<String>,
}

/// How mounts below a bind mount pass between host and container.
pub const PROPAGATIONS: [&str; 6] = ["private", "rprivate", "shared", "rshared", "slave", "rslave"];

/// What a message calls an acceptable short mount.
pub const ALLOWED: &str = "[source:]target[:option,…], options ro, rw, nocopy, z, Z, shared, rshared, slave, rslave, private, rprivate";

/// True when the source of a mount is a path and not the name of a volume.
#[must_use]
pub fn is_path(source: &str) -> bool {
    source.starts_with(['.', '/', '~']) || crate::path::is_windows(source)
}

/// The parts of `text`.
///
/// # Errors
/// What is wrong with it.
pub fn parse(text: &str) -> Result<ShortVolume, VolumeError> {
    if text.is_empty() {
        return Err(VolumeError::Empty);
    }
    let sections = sections(text);
    if sections.iter().any(|s| s.is_empty()) {
        return Err(VolumeError::EmptySection);
    }
    let mut volume = ShortVolume::default();
    let options = match sections.as_slice() {
        [target] => {
            volume.target = (*target).to_owned();
            ""
        }
        [source, target] => {
            volume.source = (*source).to_owned();
            volume.target = (*target).to_owned();
            ""
        }
        [source, target, options] => {
            volume.source = (*source).to_owned();
            volume.target = (*target).to_owned();
            options
        }
        _ => return Err(VolumeError::TooManyColons),
    };
    for option in options.split(',').filter(|o| !o.is_empty()) {
        match option {
            "ro" => volume.read_only = true,
            "rw" => volume.read_only = false,
            "nocopy" => volume.no_copy = true,
            "z" => volume.selinux = Some('z'),
            "Z" => volume.selinux = Some('Z'),
            "cached" | "delegated" | "consistent" => option.clone_into(&mut volume.consistency),
            o if PROPAGATIONS.contains(&o) => option.clone_into(&mut volume.propagation),
            _ => match option.strip_prefix("volume-subpath=") {
                Some(path) => path.clone_into(&mut volume.subpath),
                None => volume.unknown.push(option.to_owned()),
            },
        }
    }
    Ok(volume)
}

/// Why a text is no mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VolumeError {
    #[error("it is empty")]
    Empty,
    #[error("nothing stands between two colons")]
    EmptySection,
    #[error("there are too many colons")]
    TooManyColons,
}

/// Splits at colons, but not at the one of a Windows drive: a letter, a colon and a slash, at the
/// start of a section. (`a:/b` is the volume `a`: a forward slash after a letter and a colon is a
/// drive only where a further section follows or stood before.)
fn sections(text: &str) -> Vec<&str> {
    let mut out = Vec::new();
    let mut start = 0;
    let bytes = text.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        if *byte == b':' && !is_drive(text, start, at) {
            out.push(&text[start..at]);
            start = at + 1;
        }
    }
    out.push(&text[start..]);
    out
}

fn is_drive(text: &str, start: usize, colon: usize) -> bool {
    let bytes = text.as_bytes();
    colon == start + 1
        && bytes[start].is_ascii_alphabetic()
        && match bytes.get(colon + 1) {
            Some(b'\\') => true,
            // `c:/x:/y` is a drive, `c:/x` the volume `c`, `c:/x:ro` as well.
            Some(b'/') => text[colon + 1..].split_once(':').is_some_and(|(_, rest)| {
                rest.starts_with('/') || rest.get(1..3).is_some_and(|s| s == ":\\" || s == ":/")
            }),
            _ => false,
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> String {
        let v = parse(text).expect(text);
        format!("{}|{}|{}", v.source, v.target, if v.read_only { "ro" } else { "rw" })
    }

    #[test]
    fn short_mounts_come_apart() {
        assert_eq!(read("/data"), "|/data|rw");
        assert_eq!(read("vol:/data"), "vol|/data|rw");
        assert_eq!(read("./x:/data:ro"), "./x|/data|ro");
        assert_eq!(read("v:/data"), "v|/data|rw");
        assert_eq!(read("v:/data:ro"), "v|/data|ro");
        assert_eq!(read("C:\\x:D:\\y:ro"), "C:\\x|D:\\y|ro");
        assert_eq!(read("c:/x:/y"), "c:/x|/y|rw");
        let volume = parse("a:/b:nocopy,rslave,Z,what").expect("parts");
        assert!(volume.no_copy);
        assert_eq!(volume.propagation, "rslave");
        assert_eq!(volume.selinux, Some('Z'));
        assert_eq!(volume.unknown, ["what"]);
        assert_eq!(parse("a::ro"), Err(VolumeError::EmptySection));
        assert_eq!(parse("a:/b:ro:x"), Err(VolumeError::TooManyColons));
    }
}
