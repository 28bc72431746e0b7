//! Join tokens: what is accepted is written as it was.
#![no_main]

use libfuzzer_sys::fuzz_target;
use model::wire::join::JoinToken;

fuzz_target!(|text: &str| {
    if let Ok(token) = text.parse::<JoinToken>() {
        assert_eq!(token.to_string(), text.trim());
    }
});
