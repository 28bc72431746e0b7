//! What an unquoted word means.
//!
//! The rules are those that the docker CLI's and Compose's YAML reader apply to a value of no
//! particular type: `yes` and `on` are texts, `017` and `0o17` are octal, `1_000` is a number. Two
//! differences, both for the user's good: a date stays the text it was, and a whole number too
//! large for 64 bits stays as written.

use super::Value;

/// The value of a plain (unquoted) scalar.
#[must_use]
pub fn plain(text: &str) -> Value {
    word(text).unwrap_or_else(|| Value::Str(text.into()))
}

/// The value of a plain scalar that is more than its text; nothing when it is a text.
#[must_use]
pub fn word(text: &str) -> Option<Value> {
    // Nearly all plain scalars are keys and names, as their first byte shows.
    let first = text.as_bytes().first().copied().unwrap_or(b'~');
    if !matches!(
        first,
        b'~' | b'n' | b'N' | b't' | b'T' | b'f' | b'F' | b'+' | b'-' | b'.' | b'0'..=b'9'
    ) {
        return None;
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Some(Value::Null),
        "true" | "True" | "TRUE" => Some(Value::Bool(true)),
        "false" | "False" | "FALSE" => Some(Value::Bool(false)),
        ".nan" | ".NaN" | ".NAN" => Some(Value::Float(f64::NAN)),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => Some(Value::Float(f64::INFINITY)),
        "-.inf" | "-.Inf" | "-.INF" => Some(Value::Float(f64::NEG_INFINITY)),
        _ => number(text),
    }
}

/// The number that `text` is, by the rules of plain scalars.
#[must_use]
pub fn number(text: &str) -> Option<Value> {
    let first = *text.as_bytes().first()?;
    if !(first.is_ascii_digit() || matches!(first, b'+' | b'-' | b'.')) {
        return None;
    }
    let plain: String = text.chars().filter(|&c| c != '_').collect();
    match whole(&plain) {
        Whole::Number(number) => return Some(Value::Int(number)),
        Whole::TooLarge => return None,
        Whole::Not => {}
    }
    is_float(&plain).then(|| plain.parse().ok().map(Value::Float)).flatten()
}

enum Whole {
    Number(i64),
    TooLarge,
    Not,
}

/// Whole numbers with the prefixes `0x`, `0b`, `0o` and `0`, and a sign.
fn whole(text: &str) -> Whole {
    let (sign, digits) = match text.as_bytes().first() {
        Some(b'-') => ("-", &text[1..]),
        Some(b'+') => ("", &text[1..]),
        _ => ("", text),
    };
    let lower = digits.to_ascii_lowercase();
    let (radix, digits) = if let Some(hex) = lower.strip_prefix("0x") {
        (16, hex)
    } else if let Some(binary) = lower.strip_prefix("0b") {
        (2, binary)
    } else if let Some(octal) = lower.strip_prefix("0o") {
        (8, octal)
    } else if lower.len() > 1 && lower.starts_with('0') {
        (8, &lower[1..])
    } else {
        (10, lower.as_str())
    };
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
        return Whole::Not;
    }
    match i64::from_str_radix(&format!("{sign}{digits}"), radix) {
        Ok(number) => Whole::Number(number),
        Err(_) => Whole::TooLarge,
    }
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`
fn is_float(text: &str) -> bool {
    let rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    let digits = |s: &str| s.bytes().take_while(u8::is_ascii_digit).count();
    let before = digits(rest);
    let mut rest = &rest[before..];
    if let Some(fraction) = rest.strip_prefix('.') {
        let after = digits(fraction);
        if before == 0 && after == 0 {
            return false;
        }
        rest = &fraction[after..];
    } else if before == 0 {
        return false;
    }
    if let Some(exponent) = rest.strip_prefix(['e', 'E']) {
        let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        return !exponent.is_empty() && digits(exponent) == exponent.len();
    }
    rest.is_empty()
}

/// A number that is not whole, as the docker CLI writes it: shortest form, an exponent below
/// 1e-4 and from 1e21 on.
#[must_use]
pub fn float_text(number: f64) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let size = number.abs();
    if size != 0.0 && !(1e-4..1e21).contains(&size) {
        let text = format!("{number:e}");
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, digits) = match exponent.strip_prefix('-') {
            Some(digits) => ('-', digits),
            None => ('+', exponent),
        };
        return format!("{mantissa}e{sign}{digits:0>2}");
    }
    format!("{number}")
}

/// The truth value that Compose sees in a text given for a boolean.
#[must_use]
pub fn truth(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "y" | "yes" | "true" | "on" => Some(true),
        "n" | "no" | "false" | "off" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text_of(word: &str) -> String {
        match plain(word) {
            Value::Int(n) => format!("int {n}"),
            Value::Float(n) => format!("float {}", float_text(n)),
            Value::Str(s) => format!("text {s}"),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn plain_words_mean_what_the_docker_cli_takes_them_for() {
        for (word, meaning) in [
            ("1", "int 1"),
            ("+1", "int 1"),
            ("017", "int 15"),
            ("0o17", "int 15"),
            ("0x1f", "int 31"),
            ("0b11", "int 3"),
            ("1_000", "int 1000"),
            ("08", "float 8"),
            ("-0", "int 0"),
            ("1.50", "float 1.5"),
            ("1e3", "float 1000"),
            (".5", "float 0.5"),
            ("5.", "float 5"),
            ("1e21", "float 1e+21"),
            ("0.00001", "float 1e-05"),
            ("yes", "text yes"),
            ("on", "text on"),
            ("12:30", "text 12:30"),
            ("1.2.3", "text 1.2.3"),
            ("2020-01-01", "text 2020-01-01"),
            ("123456789012345678901234567890", "text 123456789012345678901234567890"),
            ("-", "text -"),
            ("...", "text ..."),
            ("~", "Null"),
            ("True", "Bool(true)"),
        ] {
            assert_eq!(text_of(word), meaning, "{word}");
        }
    }
}
