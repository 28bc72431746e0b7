//! What travels from a cause to its effects: the trace and the span that caused them.
//!
//! The form is W3C Trace Context, <https://www.w3.org/TR/trace-context/>: `00-<trace>-<span>-<flags>`.

use data_encoding::HEXLOWER;

/// The header that carries it.
pub const TRACEPARENT: &str = "traceparent";

/// A span of a trace, as a cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Context {
    pub trace: [u8; 16],
    pub span: [u8; 8],
}

/// What a caller says about traces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Nothing, or nothing that can be read: the specification has both begin anew.
    Nothing,
    /// This shall not be recorded.
    Unrecorded,
    /// This belongs to a trace that is recorded.
    Of(Context),
}

impl Wish {
    /// Reads a header's value.
    #[must_use]
    pub fn read(header: &str) -> Wish {
        parse(header.trim()).unwrap_or(Wish::Nothing)
    }
}

impl Context {
    /// Reads what [`Context::header`] wrote; nothing when the caller does not want it recorded.
    #[must_use]
    pub fn read(header: &str) -> Option<Context> {
        match Wish::read(header) {
            Wish::Of(context) => Some(context),
            Wish::Nothing | Wish::Unrecorded => None,
        }
    }

    /// The header's value.
    #[must_use]
    pub fn header(&self) -> String {
        format!("00-{}-{}-01", HEXLOWER.encode(&self.trace), HEXLOWER.encode(&self.span))
    }
}

fn parse(text: &str) -> Option<Wish> {
    let mut parts = text.split('-');
    let (version, trace, span, flags) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let [version] = bytes::<1>(version)?;
    // Later versions may say more behind the flags; version 255 is forbidden.
    if version == 0xff || (version == 0 && parts.next().is_some()) {
        return None;
    }
    let context = Context { trace: bytes(trace)?, span: bytes(span)? };
    let [flags] = bytes::<1>(flags)?;
    if context.trace == [0; 16] || context.span == [0; 8] {
        return None;
    }
    Some(if flags & 1 == 1 { Wish::Of(context) } else { Wish::Unrecorded })
}

fn bytes<const N: usize>(hex: &str) -> Option<[u8; N]> {
    HEXLOWER.decode(hex.as_bytes()).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    #[test]
    fn what_is_written_can_be_read() {
        let text = format!("00-{TRACE}-00f067aa0ba902b7-01");
        let context = Context::read(&text).expect("a cause");
        assert_eq!(context.span, [0, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7]);
        assert_eq!(context.header(), text);
    }

    #[test]
    fn what_the_specification_forbids_counts_as_nothing() {
        for wrong in [
            String::new(),
            format!("00-{TRACE}-00f067aa0ba902b7"),
            format!("00-{TRACE}-00f067aa0ba902b7-01-more"),
            format!("ff-{TRACE}-00f067aa0ba902b7-01"),
            format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)),
            format!("00-{TRACE}-0000000000000000-01"),
            format!("00-{}-00f067aa0ba902b7-01", TRACE.to_uppercase()),
            format!("00-{TRACE}ab-00f067aa0ba902b7-01"),
        ] {
            assert_eq!(Wish::read(&wrong), Wish::Nothing, "{wrong}");
        }
        let later = format!("cc-{TRACE}-00f067aa0ba902b7-01-what-will-be");
        assert!(matches!(Wish::read(&later), Wish::Of(_)));
        let unrecorded = format!("00-{TRACE}-00f067aa0ba902b7-00");
        assert_eq!(Wish::read(&unrecorded), Wish::Unrecorded);
    }
}
