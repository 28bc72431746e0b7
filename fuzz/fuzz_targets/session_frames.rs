//! The bytes of a session, both ways: however they are cut, the same frames come out.
#![no_main]

use libfuzzer_sys::fuzz_target;
use model::wire::frame::Decoder;
use model::wire::session::{FromAgent, FromManager};
use serde::de::DeserializeOwned;

fn read<T: DeserializeOwned + PartialEq + std::fmt::Debug>(bytes: &[u8], piece: usize) -> Vec<T> {
    let mut decoder = Decoder::<T>::default();
    let mut frames = Vec::new();
    for piece in bytes.chunks(piece.max(1)) {
        decoder.push(piece);
        loop {
            match decoder.next_frame() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(_) => return frames,
            }
        }
    }
    frames
}

fuzz_target!(|bytes: &[u8]| {
    let Some((piece, bytes)) = bytes.split_first() else { return };
    let piece = usize::from(*piece);
    assert_eq!(read::<FromAgent>(bytes, piece), read::<FromAgent>(bytes, bytes.len()));
    assert_eq!(read::<FromManager>(bytes, piece), read::<FromManager>(bytes, bytes.len()));
});
