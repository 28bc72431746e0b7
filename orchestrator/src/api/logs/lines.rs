//! Takes a container's log as its engine sends it and gives whole lines. Pure.
//!
//! An engine cuts long lines into several messages and puts the time in front of each, when asked;
//! what comes out here is one line with its first time. Without a terminal the bytes are framed:
//! `[stream, 0, 0, 0, length as u32 big-endian]` and the payload; with one they are plain.

/// One line, with its line end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// 1 for stdout, 2 for stderr.
    pub(super) stream: u8,
    /// RFC 3339 with nine decimals, so that the order of texts is that of times.
    pub(super) time: String,
    pub(super) text: Vec<u8>,
}

/// A frame longer than this is no frame: engines cut at 16 KiB.
const MAX_FRAME: usize = 16 << 20;

/// A line that goes on for longer than this is cut, so that memory stays bounded.
const MAX_LINE: usize = 1 << 20;

/// See the module.
pub(super) struct Splitter {
    framed: bool,
    bytes: Vec<u8>,
    /// Lines that have begun: of stdout and of stderr.
    open: [Option<Line>; 2],
}

/// The bytes are no log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the engine's log has a frame of {length} bytes of stream {stream}")]
pub(super) struct NoLog {
    stream: u8,
    length: usize,
}

impl Splitter {
    /// For a container without a terminal.
    pub(super) fn framed() -> Splitter {
        Splitter { framed: true, bytes: Vec::new(), open: [None, None] }
    }

    /// For a container with a terminal: everything is stdout.
    pub(super) fn plain() -> Splitter {
        Splitter { framed: false, bytes: Vec::new(), open: [None, None] }
    }

    /// Takes the next bytes; gives the lines that are whole with them.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<Vec<Line>, NoLog> {
        self.bytes.extend_from_slice(bytes);
        let mut lines = Vec::new();
        if self.framed {
            self.take_frames(&mut lines)?;
        } else {
            self.take_plain(&mut lines);
        }
        Ok(lines)
    }

    /// What has begun and not ended when the log has.
    pub(super) fn finish(mut self) -> Vec<Line> {
        let mut lines = Vec::new();
        if !self.framed && !self.bytes.is_empty() {
            let rest = std::mem::take(&mut self.bytes);
            self.message(1, &rest, &mut lines);
        }
        for line in self.open.iter_mut() {
            if let Some(mut line) = line.take() {
                line.text.push(b'\n');
                lines.push(line);
            }
        }
        lines
    }

    fn take_frames(&mut self, lines: &mut Vec<Line>) -> Result<(), NoLog> {
        let bytes = std::mem::take(&mut self.bytes);
        let mut rest = bytes.as_slice();
        while let Some((header, body)) = rest.split_first_chunk::<8>() {
            let [stream, _, _, _, a, b, c, d] = *header;
            let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
            if stream > 3 || length > MAX_FRAME {
                return Err(NoLog { stream, length });
            }
            let Some((payload, next)) = body.split_at_checked(length) else { break };
            self.message(stream, payload, lines);
            rest = next;
        }
        self.bytes = rest.to_vec();
        Ok(())
    }

    fn take_plain(&mut self, lines: &mut Vec<Line>) {
        let bytes = std::mem::take(&mut self.bytes);
        let mut rest = bytes.as_slice();
        while let Some(end) = rest.iter().position(|b| *b == b'\n') {
            let (message, next) = rest.split_at(end + 1);
            self.message(1, message, lines);
            rest = next;
        }
        self.bytes = rest.to_vec();
    }

    /// One message: a line, or a part of one, with the time in front.
    fn message(&mut self, stream: u8, message: &[u8], lines: &mut Vec<Line>) {
        // Stream 3 is what the engine itself has to say.
        let stream = if stream == 1 { 1 } else { 2 };
        let cut = message.iter().position(|b| *b == b' ');
        let (time, text) = match cut {
            Some(at) if is_time(&message[..at]) => (&message[..at], &message[at + 1..]),
            _ => (&[][..], message),
        };
        let open = &mut self.open[usize::from(stream == 2)];
        let line = open.get_or_insert_with(|| Line {
            stream,
            time: String::from_utf8_lossy(time).into_owned(),
            text: Vec::new(),
        });
        line.text.extend_from_slice(text);
        if line.text.len() > MAX_LINE && !line.text.ends_with(b"\n") {
            line.text.push(b'\n');
        }
        if line.text.ends_with(b"\n") {
            lines.extend(open.take());
        }
    }
}

/// Whether it looks like `2026-11-21T09:53:03.916284200Z`.
fn is_time(text: &[u8]) -> bool {
    text.len() >= 20 && text.get(4) == Some(&b'-') && text.get(10) == Some(&b'T')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(stream: u8, payload: &str) -> Vec<u8> {
        let length = u32::try_from(payload.len()).expect("a short payload").to_be_bytes();
        [&[stream, 0, 0, 0], &length[..], payload.as_bytes()].concat()
    }

    fn line(stream: u8, time: &str, text: &str) -> Line {
        Line { stream, time: time.to_owned(), text: text.as_bytes().to_vec() }
    }

    const T1: &str = "2026-11-21T09:53:03.916284200Z";
    const T2: &str = "2026-11-21T09:53:04.000000000Z";

    #[test]
    fn frames_cut_anywhere_give_the_same_lines() {
        let bytes = [
            frame(1, &format!("{T1} out 1\n")),
            frame(2, &format!("{T1} err 1\n")),
            frame(1, &format!("{T2} \n")),
        ]
        .concat();
        let expected = vec![line(1, T1, "out 1\n"), line(2, T1, "err 1\n"), line(1, T2, "\n")];
        for cut in 0..bytes.len() {
            let mut splitter = Splitter::framed();
            let mut lines = splitter.push(&bytes[..cut]).expect("a log");
            lines.extend(splitter.push(&bytes[cut..]).expect("a log"));
            assert_eq!(lines, expected, "cut at {cut}");
            assert_eq!(splitter.finish(), Vec::new());
        }
    }

    #[test]
    fn the_parts_of_a_long_line_are_put_together() {
        let mut splitter = Splitter::framed();
        let bytes = [
            frame(1, &format!("{T1} first ")),
            frame(2, &format!("{T1} between\n")),
            frame(1, &format!("{T2} second\n")),
            frame(1, &format!("{T2} no end")),
        ]
        .concat();
        let lines = splitter.push(&bytes).expect("a log");
        assert_eq!(lines, vec![line(2, T1, "between\n"), line(1, T1, "first second\n")]);
        assert_eq!(splitter.finish(), vec![line(1, T2, "no end\n")]);
    }

    #[test]
    fn a_terminals_log_is_plain() {
        let mut splitter = Splitter::plain();
        let lines = splitter.push(format!("{T1} a\r\n{T2} b").as_bytes()).expect("a log");
        assert_eq!(lines, vec![line(1, T1, "a\r\n")]);
        assert_eq!(splitter.finish(), vec![line(1, T2, "b\n")]);
    }

    #[test]
    fn what_is_no_log_is_refused() {
        assert!(Splitter::framed().push(b"HTTP/1.1 200 OK\r\n").is_err());
    }
}
