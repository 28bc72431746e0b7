//! Makes text of the bytes of a file: UTF-8 or, by its byte-order mark, UTF-16.

/// Largest file that is read, in bytes. Compose files of thousands of services are below it; what
/// is larger was not meant to be one.
pub const LARGEST: usize = 1024 * 1024;

/// Why bytes are no text, and at which byte.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodingError {
    #[error("the file has {0} bytes; at most {LARGEST} are read")]
    TooLarge(usize),
    #[error("byte {at} (0x{byte:02x}) is not UTF-8")]
    NotUtf8 { at: usize, byte: u8 },
    #[error("the file is not valid UTF-16")]
    NotUtf16,
    #[error("the control character U+{code:04X} is not allowed in YAML")]
    Control { at: usize, code: u32 },
}

/// The text, without byte-order mark.
///
/// # Errors
/// When the bytes are too many, no text, or hold a control character that YAML forbids.
pub fn decode(bytes: &[u8]) -> Result<String, EncodingError> {
    if bytes.len() > LARGEST {
        return Err(EncodingError::TooLarge(bytes.len()));
    }
    let text = match bytes {
        [0xFF, 0xFE, rest @ ..] => utf16(rest, u16::from_le_bytes)?,
        [0xFE, 0xFF, rest @ ..] => utf16(rest, u16::from_be_bytes)?,
        [0xEF, 0xBB, 0xBF, rest @ ..] => utf8(rest)?,
        _ => utf8(bytes)?,
    };
    // Nearly every text is of these bytes only.
    if all(text.as_bytes(), |b| matches!(b, b'\n' | b'\r' | b'\t' | b' '..=b'~')) {
        return Ok(text);
    }
    match text.char_indices().find(|&(_, c)| forbidden(c)) {
        Some((at, c)) => Err(EncodingError::Control { at, code: u32::from(c) }),
        None => Ok(text),
    }
}

/// Whether all bytes are fine. In pieces without an early end, which compilers make fast.
pub(super) fn all(bytes: &[u8], fine: impl Fn(u8) -> bool) -> bool {
    bytes.chunks(128).all(|piece| piece.iter().fold(true, |all, byte| all & fine(*byte)))
}

fn utf8(bytes: &[u8]) -> Result<String, EncodingError> {
    std::str::from_utf8(bytes).map(str::to_owned).map_err(|e| {
        let at = e.valid_up_to();
        EncodingError::NotUtf8 { at, byte: bytes.get(at).copied().unwrap_or(0) }
    })
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<String, EncodingError> {
    if !bytes.len().is_multiple_of(2) {
        return Err(EncodingError::NotUtf16);
    }
    let units: Vec<u16> = bytes.chunks_exact(2).map(|pair| unit([pair[0], pair[1]])).collect();
    String::from_utf16(&units).map_err(|_| EncodingError::NotUtf16)
}

/// YAML's printable set, section 5.1 of its specification, turned round.
fn forbidden(c: char) -> bool {
    matches!(c, '\0'..='\u{8}' | '\u{B}' | '\u{C}' | '\u{E}'..='\u{1F}' | '\u{7F}'..='\u{84}' | '\u{86}'..='\u{9F}' | '\u{FFFE}' | '\u{FFFF}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn byte_order_marks_choose_the_encoding_and_vanish() {
        assert_eq!(decode(b"\xEF\xBB\xBFa: 1"), Ok("a: 1".to_owned()));
        assert_eq!(decode(b"\xFF\xFEa\0:\0"), Ok("a:".to_owned()));
        assert_eq!(decode(b"\xFE\xFF\0a"), Ok("a".to_owned()));
    }

    #[test]
    fn what_is_no_text_is_refused_with_its_place() {
        assert_eq!(decode(b"ab\xE9"), Err(EncodingError::NotUtf8 { at: 2, byte: 0xE9 }));
        assert_eq!(decode(b"a\0"), Err(EncodingError::Control { at: 1, code: 0 }));
    }
}
