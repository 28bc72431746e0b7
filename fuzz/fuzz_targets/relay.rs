//! The header of a relayed connection: what is read is written as the same bytes.
#![no_main]

use agent_core::net::relay::{Header, Status};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((first, rest)) = bytes.split_first() else { return };
    let _ = Status::read(*first);
    if let Some((signed, _)) = rest.split_first_chunk()
        && let Some(header) = Header::read(signed)
    {
        assert_eq!(Header::read(&header.write()), Some(header));
    }
});
