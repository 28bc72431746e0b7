//! Image references: `redis`, `ghcr.io/a/b:1.2@sha256:…`.
//!
//! Follows the grammar of the distribution project's reference package.

/// The reference in its short usual form, with `:latest` when it has neither tag nor digest.
///
/// `docker.io/library/redis` is `redis:latest`. A bare image id (64 hexadecimal digits) stays.
///
/// # Errors
/// What is wrong with it.
pub fn normal(text: &str) -> Result<String, ImageError> {
    if text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return Ok(format!("sha256:{text}"));
    }
    let Parts { name, tag, digest } = parts(text)?;
    Ok(match (tag, digest) {
        (None, None) => [name, ":latest"].concat(),
        (Some(tag), None) => [name, ":", tag].concat(),
        (None, Some(digest)) => [name, "@", digest].concat(),
        (Some(tag), Some(digest)) => [name, ":", tag, "@", digest].concat(),
    })
}

/// Judges a reference.
///
/// # Errors
/// What is wrong with it.
pub fn check(text: &str) -> Result<(), ImageError> {
    parts(text).map(drop)
}

struct Parts<'t> {
    /// In its short usual form.
    name: &'t str,
    tag: Option<&'t str>,
    digest: Option<&'t str>,
}

fn parts(text: &str) -> Result<Parts<'_>, ImageError> {
    if text.is_empty() {
        return Err(ImageError::Empty);
    }
    let (rest, digest) = match split_once(text, b'@') {
        Some((rest, digest)) => (rest, Some(digest)),
        None => (text, None),
    };
    let last_slash = rest.bytes().rposition(|b| b == b'/').map_or(0, |at| at + 1);
    let (name, tag) = match rest[last_slash..].bytes().rposition(|b| b == b':') {
        Some(at) => (&rest[..last_slash + at], Some(&rest[last_slash + at + 1..])),
        None => (rest, None),
    };
    let (domain, path) = match split_once(name, b'/') {
        Some((first, path)) if is_domain(first) => (first, path),
        _ => ("docker.io", name),
    };
    let domain = if domain == "index.docker.io" { "docker.io" } else { domain };
    if !domain_is_valid(domain) {
        return Err(ImageError::Registry(domain.to_owned()));
    }
    path.as_bytes().split(|b| *b == b'/').try_for_each(part_is_valid)?;
    if path.len() > 255 {
        return Err(ImageError::TooLong);
    }
    if let Some(tag) = tag
        && !tag_is_valid(tag)
    {
        return Err(ImageError::Tag(tag.to_owned()));
    }
    if let Some(digest) = digest
        && !digest_is_valid(digest)
    {
        return Err(ImageError::Digest(digest.to_owned()));
    }
    let name = match domain {
        "docker.io" => path.strip_prefix("library/").filter(|p| !p.contains('/')).unwrap_or(path),
        _ => name,
    };
    Ok(Parts { name, tag, digest })
}

/// Why a text is no image reference.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    #[error("the image has no name")]
    Empty,
    #[error("`{0}` is not a registry's address")]
    Registry(String),
    #[error("`{0}` has capital letters; an image's name has none")]
    Capital(String),
    #[error("`{0}` is not a part of an image's name")]
    Part(String),
    #[error("`{0}` is not a tag")]
    Tag(String),
    #[error("`{0}` is not a digest")]
    Digest(String),
    #[error("the name is longer than 255 characters")]
    TooLong,
}

/// What a message calls an acceptable image.
pub const ALLOWED: &str = "[registry[:port]/]name[:tag][@digest], names in lower case";

fn is_domain(first: &str) -> bool {
    first == "localhost"
        || first.bytes().any(|b| matches!(b, b'.' | b':') || b.is_ascii_uppercase())
}

fn domain_is_valid(domain: &str) -> bool {
    let host = if let Some(inner) = domain.strip_prefix('[') {
        let Some((address, rest)) = inner.split_once(']') else { return false };
        if !address.bytes().all(|b| b.is_ascii_hexdigit() || b == b':') {
            return false;
        }
        return rest.is_empty() || rest.strip_prefix(':').is_some_and(is_digits);
    } else if let Some((host, port)) = split_once(domain, b':') {
        if !is_digits(port) {
            return false;
        }
        host
    } else {
        domain
    };
    host.as_bytes().split(|b| *b == b'.').all(|bytes| {
        !bytes.is_empty()
            && bytes.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-')
            && bytes[0] != b'-'
            && bytes[bytes.len() - 1] != b'-'
    })
}

/// For texts as short as these a plain search is the fastest.
fn split_once(text: &str, byte: u8) -> Option<(&str, &str)> {
    let at = text.bytes().position(|b| b == byte)?;
    Some((&text[..at], &text[at + 1..]))
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// `[a-z0-9]+(([_.]|__|-+)[a-z0-9]+)*`
fn part_is_valid(bytes: &[u8]) -> Result<(), ImageError> {
    let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let ends_well =
        bytes.first().copied().is_some_and(word) && bytes.last().copied().is_some_and(word);
    let mut fine = ends_well;
    let mut at = 0;
    while fine && at < bytes.len() {
        if word(bytes[at]) {
            at += 1;
            continue;
        }
        let separator = &bytes[at..];
        let len = separator.iter().take_while(|b| !word(**b)).count();
        let separator = &separator[..len];
        fine = matches!(separator, b"." | b"_" | b"__") || separator.iter().all(|b| *b == b'-');
        at += len;
    }
    let part = || String::from_utf8_lossy(bytes).into_owned();
    if fine {
        Ok(())
    } else if bytes.iter().any(u8::is_ascii_uppercase) {
        Err(ImageError::Capital(part()))
    } else {
        Err(ImageError::Part(part()))
    }
}

/// `\w[\w.-]{0,127}`
fn tag_is_valid(tag: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    tag.len() <= 128
        && tag.bytes().next().is_some_and(word)
        && tag.bytes().all(|b| word(b) || b == b'.' || b == b'-')
}

fn digest_is_valid(digest: &str) -> bool {
    let Some((algorithm, hex)) = digest.split_once(':') else { return false };
    let length = match algorithm {
        "sha256" => 64,
        "sha384" => 96,
        "sha512" => 128,
        _ => return false,
    };
    hex.len() == length && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_take_their_usual_form() {
        let digest = format!("sha256:{}", "a".repeat(64));
        for (given, usual) in [
            ("redis", "redis:latest"),
            ("redis:7", "redis:7"),
            ("docker.io/library/redis", "redis:latest"),
            ("docker.io/a/b", "a/b:latest"),
            ("localhost:5000/a", "localhost:5000/a:latest"),
            ("ghcr.io/A-b.c/d".to_lowercase().as_str(), "ghcr.io/a-b.c/d:latest"),
            (&format!("a@{digest}"), &format!("a@{digest}")),
            (&format!("a:1@{digest}"), &format!("a:1@{digest}")),
        ] {
            assert_eq!(normal(given).as_deref(), Ok(usual), "{given}");
        }
        for bad in
            ["", "Redis", "a:b:c", "a/", "/a", "a:", "a@sha256:1", "a b", "-a", "a..b", "a:-x"]
        {
            assert!(normal(bad).is_err(), "{bad}");
        }
    }
}
