//! CPUs as a decimal number or a fraction: `0.5`, `1/2`, `1e-1`.

/// Billionths of a CPU.
///
/// # Errors
/// What is wrong with it.
pub fn parse(text: &str) -> Result<i64, CpuError> {
    let (top, bottom) = match text.split_once('/') {
        Some((top, bottom)) => (top, Some(bottom)),
        None => (text, None),
    };
    let (digits, power) = decimal(top)?;
    let mut value = digits.checked_mul(1_000_000_000).ok_or(CpuError::TooMany)?;
    if power < 0 {
        let divisor = 10_i128.checked_pow(power.unsigned_abs()).ok_or(CpuError::TooPrecise)?;
        if value % divisor != 0 {
            return Err(CpuError::TooPrecise);
        }
        value /= divisor;
    } else {
        let factor = 10_i128.checked_pow(power.unsigned_abs()).ok_or(CpuError::TooMany)?;
        value = value.checked_mul(factor).ok_or(CpuError::TooMany)?;
    }
    if let Some(bottom) = bottom {
        let divisor: i128 = bottom
            .parse()
            .ok()
            .filter(|&d: &i128| d > 0 && bottom.bytes().all(|b| b.is_ascii_digit()))
            .ok_or(CpuError::NotANumber)?;
        if value % divisor != 0 {
            return Err(CpuError::TooPrecise);
        }
        value /= divisor;
    }
    if value < 0 {
        return Err(CpuError::Negative);
    }
    i64::try_from(value).map_err(|_| CpuError::TooMany)
}

/// Why a text is no number of CPUs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CpuError {
    #[error("it is not a number")]
    NotANumber,
    #[error("a number of CPUs cannot be negative")]
    Negative,
    #[error("it is more precise than a billionth of a CPU")]
    TooPrecise,
    #[error("it is too large")]
    TooMany,
}

/// Digits without a point, and the power of ten that goes with them.
fn decimal(text: &str) -> Result<(i128, i32), CpuError> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => {
            (mantissa, exponent.parse::<i32>().map_err(|_| CpuError::NotANumber)?)
        }
        None => (text, 0),
    };
    if exponent.abs() > 30 {
        return Err(CpuError::TooMany);
    }
    let (sign, unsigned) = match mantissa.as_bytes().first() {
        Some(b'-') => (-1, &mantissa[1..]),
        Some(b'+') => (1, &mantissa[1..]),
        _ => (1, mantissa),
    };
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let fraction = fraction.trim_end_matches('0');
    let digits = format!("{whole}{fraction}");
    let nothing = digits.is_empty() && !unsigned.contains('0');
    if nothing || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(CpuError::NotANumber);
    }
    let places = i32::try_from(fraction.len()).map_err(|_| CpuError::TooPrecise)?;
    let number: i128 =
        if digits.is_empty() { 0 } else { digits.parse().map_err(|_| CpuError::TooMany)? };
    Ok((sign * number, exponent - places))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpus_are_counted_in_billionths() {
        for (text, nanos) in [
            ("1", 1_000_000_000),
            ("0.5", 500_000_000),
            ("1/2", 500_000_000),
            ("1e-1", 100_000_000),
            (".25", 250_000_000),
            ("1.", 1_000_000_000),
            ("0.001", 1_000_000),
            ("0", 0),
            ("2.50", 2_500_000_000),
        ] {
            assert_eq!(parse(text), Ok(nanos), "{text}");
        }
        for bad in ["", "half", "50%", "1.0000000001", "-1", "1/0", "1/3", "..", "1e99", "0x1"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
