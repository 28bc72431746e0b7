//! Frames on a byte stream: a 32-bit big-endian length, then that many bytes of JSON.

use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::MAX_FRAME;

/// Why bytes are no frame. The stream cannot go on after either.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    #[error("a frame of {length} bytes is larger than {MAX_FRAME}")]
    TooLarge { length: usize },
    #[error("a frame is not what was expected")]
    Malformed(#[from] serde_json::Error),
}

/// One value as a frame.
///
/// # Errors
/// [`FrameError::TooLarge`] when its JSON is longer than [`MAX_FRAME`]; [`FrameError::Malformed`]
/// when it has no JSON form.
pub fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, FrameError> {
    let mut bytes = vec![0; 4];
    serde_json::to_writer(&mut bytes, value)?;
    let length = bytes.len() - 4;
    match u32::try_from(length) {
        Ok(header) if length <= MAX_FRAME => {
            bytes[..4].copy_from_slice(&header.to_be_bytes());
            Ok(bytes)
        }
        _ => Err(FrameError::TooLarge { length }),
    }
}

/// Takes bytes as they come and gives frames.
#[derive(Debug)]
pub struct Decoder<T> {
    buffer: Vec<u8>,
    /// Where in `buffer` the next frame begins.
    start: usize,
    kind: PhantomData<fn() -> T>,
}

impl<T> Default for Decoder<T> {
    fn default() -> Self {
        Decoder { buffer: Vec::new(), start: 0, kind: PhantomData }
    }
}

impl<T: DeserializeOwned> Decoder<T> {
    /// Takes the next bytes of the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole frame, if it is there.
    ///
    /// # Errors
    /// As [`FrameError`] says; the stream is of no more use then.
    pub fn next_frame(&mut self) -> Result<Option<T>, FrameError> {
        let rest = &self.buffer[self.start..];
        let Some((header, body)) = rest.split_first_chunk::<4>() else { return Ok(None) };
        let length = usize::try_from(u32::from_be_bytes(*header)).unwrap_or(usize::MAX);
        if length > MAX_FRAME {
            return Err(FrameError::TooLarge { length });
        }
        let Some(frame) = body.get(..length) else { return Ok(None) };
        let value = serde_json::from_slice(frame)?;
        self.start += 4 + length;
        Ok(Some(value))
    }

    /// What is left of the stream behind the last frame, for streams that change to plain bytes.
    #[must_use]
    pub fn into_rest(mut self) -> Vec<u8> {
        self.buffer.split_off(self.start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_cut_anywhere_read_back() {
        let frames = ["", "a", "some text"].map(String::from);
        let bytes: Vec<u8> = frames.iter().flat_map(|f| encode(f).expect("small")).collect();
        for cut in 0..bytes.len() {
            let mut decoder = Decoder::<String>::default();
            let mut read = Vec::new();
            for part in [&bytes[..cut], &bytes[cut..]] {
                decoder.push(part);
                while let Some(frame) = decoder.next_frame().expect("good frames") {
                    read.push(frame);
                }
            }
            assert_eq!(read, frames, "cut at {cut}");
            assert_eq!(decoder.into_rest(), Vec::<u8>::new());
        }
    }

    #[test]
    fn a_length_beyond_the_limit_is_refused_before_its_bytes_come() {
        let mut decoder = Decoder::<String>::default();
        decoder.push(&[0xff, 0xff, 0xff, 0xff]);
        assert!(matches!(decoder.next_frame(), Err(FrameError::TooLarge { .. })));
    }

    #[test]
    fn bytes_behind_the_last_frame_are_kept() {
        let mut decoder = Decoder::<u8>::default();
        decoder.push(&encode(&7u8).expect("small"));
        decoder.push(b"plain");
        assert_eq!(decoder.next_frame().expect("a frame"), Some(7));
        assert_eq!(decoder.into_rest(), b"plain");
    }
}
