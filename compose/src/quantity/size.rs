//! Sizes in bytes: `64M`, `1.5g`, `512 KiB`. All units are powers of 1024.

/// Bytes of a size.
///
/// # Errors
/// What is wrong with it.
pub fn parse(text: &str) -> Result<i64, SizeError> {
    let split = text
        .rfind(|c: char| c.is_ascii_digit() || c == '.' || c == ' ')
        .ok_or(SizeError::NoNumber)?;
    let (number, suffix) = if text.as_bytes()[split] == b' ' {
        (&text[..split], &text[split + 1..])
    } else {
        text.split_at(split + 1)
    };
    let well_formed = number.bytes().all(|b| b.is_ascii_digit() || b".+-eE".contains(&b));
    let size: f64 = number
        .parse()
        .ok()
        .filter(|_| well_formed)
        .ok_or_else(|| SizeError::BadNumber(number.to_owned()))?;
    if size < 0.0 {
        return Err(SizeError::Negative);
    }
    let lower = suffix.to_ascii_lowercase();
    let power = match lower.as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 1,
        "m" | "mb" | "mib" => 2,
        "g" | "gb" | "gib" => 3,
        "t" | "tb" | "tib" => 4,
        "p" | "pb" | "pib" => 5,
        _ => return Err(SizeError::Unit(suffix.to_owned())),
    };
    let bytes = size * 1024_f64.powi(power);
    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)] // range checked
    if bytes < i64::MAX as f64 { Ok(bytes as i64) } else { Err(SizeError::TooLarge) }
}

/// What a message calls an acceptable size.
pub const ALLOWED: &str =
    "a number of bytes, or one with a unit: 64M, 1.5g, 512KiB (b, k, m, g, t, p; steps of 1024)";

/// Why a text is no size.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SizeError {
    #[error("a number is missing")]
    NoNumber,
    #[error("`{0}` is not a number")]
    BadNumber(String),
    #[error("a size cannot be negative")]
    Negative,
    #[error("there is no unit `{0}`")]
    Unit(String),
    #[error("it is larger than 8 EiB")]
    TooLarge,
}

impl SizeError {
    /// What to write instead.
    #[must_use]
    pub fn help(&self, text: &str) -> Option<String> {
        match self {
            SizeError::Unit(unit) if unit.ends_with(['i', 'I']) => Some(format!("write `{text}B`")),
            SizeError::Unit(_)
            | SizeError::NoNumber
            | SizeError::BadNumber(_)
            | SizeError::Negative
            | SizeError::TooLarge => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_count_in_steps_of_1024() {
        for (text, bytes) in [
            ("64", 64),
            ("64k", 65_536),
            ("64KiB", 65_536),
            ("64 MB", 67_108_864),
            ("1.5G", 1_610_612_736),
            (".5g", 536_870_912),
            ("3.5", 3),
            ("1b", 1),
        ] {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn what_is_no_size_says_why() {
        assert_eq!(parse("64Mi").map_err(|e| e.help("64Mi")), Err(Some("write `64MiB`".into())));
        for bad in ["", "x", "64x", "-1M", "1 2", " 3", "bananas", "inf", "nan1", "1e400"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
