//! Durations: `1h30m`, `1.5s`, `300ms`.

/// Nanoseconds of a duration in Compose's form: numbers with the units `h`, `m`, `s`, `ms`, `us`
/// and `ns`, one after the other.
///
/// # Errors
/// What is wrong, and perhaps a way out.
pub fn parse(text: &str) -> Result<i64, DurationError> {
    let (negative, mut rest) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(DurationError::Empty);
    }
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let number_len = rest.bytes().take_while(|b| b.is_ascii_digit() || *b == b'.').count();
        let number = &rest[..number_len];
        rest = &rest[number_len..];
        let unit_len = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        let unit = &rest[..unit_len];
        rest = &rest[unit_len..];
        if number.is_empty() || number == "." || number.matches('.').count() > 1 {
            return Err(DurationError::NotANumber);
        }
        let scale: i128 = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            "" => return Err(DurationError::NoUnit(number.to_owned())),
            "d" | "w" => {
                return Err(DurationError::LongUnit {
                    unit: unit.to_owned(),
                    hours: number
                        .parse::<u64>()
                        .ok()
                        .and_then(|n| n.checked_mul(if unit == "d" { 24 } else { 168 })),
                });
            }
            other => return Err(DurationError::Unit(other.to_owned())),
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let whole: i128 =
            if whole.is_empty() { 0 } else { whole.parse().map_err(|_| DurationError::TooLong)? };
        total += whole.checked_mul(scale).ok_or(DurationError::TooLong)?;
        let mut part = scale;
        for digit in fraction.bytes().take(18) {
            part /= 10;
            total += i128::from(digit - b'0') * part;
        }
        if total > i128::from(i64::MAX) {
            return Err(DurationError::TooLong);
        }
    }
    let total = i64::try_from(total).map_err(|_| DurationError::TooLong)?;
    Ok(if negative { -total } else { total })
}

/// Why a text is no duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    #[error("it is empty")]
    Empty,
    #[error("a number is missing")]
    NotANumber,
    #[error("`{0}` has no unit")]
    NoUnit(String),
    #[error("there is no unit `{0}`")]
    Unit(String),
    #[error("there is no unit `{unit}`")]
    LongUnit { unit: String, hours: Option<u64> },
    #[error("it is longer than 292 years")]
    TooLong,
}

impl DurationError {
    /// What to write instead.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        match self {
            DurationError::NoUnit(number) => Some(format!("write `{number}s` for seconds")),
            DurationError::LongUnit { hours: Some(hours), .. } => Some(format!("write `{hours}h`")),
            DurationError::LongUnit { .. } => Some("count in hours: `24h`".to_owned()),
            DurationError::Empty
            | DurationError::NotANumber
            | DurationError::Unit(_)
            | DurationError::TooLong => None,
        }
    }
}

/// The form that the docker CLI writes: `1m30s`, `1.5s`, `999µs`.
#[must_use]
pub fn text(nanos: i64) -> String {
    if nanos == 0 {
        return "0s".to_owned();
    }
    let sign = if nanos < 0 { "-" } else { "" };
    let n = nanos.unsigned_abs();
    if n < 1_000 {
        return format!("{sign}{n}ns");
    }
    if n < 1_000_000 {
        return format!("{sign}{}µs", fraction(n, 1_000));
    }
    if n < 1_000_000_000 {
        return format!("{sign}{}ms", fraction(n, 1_000_000));
    }
    let minutes = n / 60_000_000_000;
    let seconds = fraction(n % 60_000_000_000, 1_000_000_000);
    if minutes == 0 {
        format!("{sign}{seconds}s")
    } else if minutes < 60 {
        format!("{sign}{minutes}m{seconds}s")
    } else {
        format!("{sign}{}h{}m{seconds}s", minutes / 60, minutes % 60)
    }
}

fn fraction(n: u64, unit: u64) -> String {
    let (whole, rest) = (n / unit, n % unit);
    if rest == 0 {
        return whole.to_string();
    }
    let width = unit.ilog10() as usize;
    let digits = format!("{rest:0width$}");
    format!("{whole}.{}", digits.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_and_write_as_the_docker_cli_does() {
        for (given, written) in [
            ("5s", "5s"),
            ("90s", "1m30s"),
            ("1.5s", "1.5s"),
            ("1s1h", "1h0m1s"),
            ("1us", "1µs"),
            ("999us", "999µs"),
            ("1ns", "1ns"),
            (".5s", "500ms"),
            ("5.s", "5s"),
            ("0", "0s"),
            ("-5s", "-5s"),
        ] {
            assert_eq!(parse(given).map(text), Ok(written.to_owned()), "{given}");
        }
    }

    #[test]
    fn what_is_no_duration_says_why() {
        assert_eq!(parse("5"), Err(DurationError::NoUnit("5".into())));
        assert_eq!(parse("1m30"), Err(DurationError::NoUnit("30".into())));
        assert_eq!(parse("1d").map_err(|e| e.help()), Err(Some("write `24h`".into())));
        for bad in ["", "s", "5 s", "1e3s", "1m 30s", "9223372037s", "999999999999h", ".s", "x"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
