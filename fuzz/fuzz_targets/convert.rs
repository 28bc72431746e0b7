//! Any line at all as a `docker run` line, and any JSON as what `docker inspect` says.
#![no_main]

use compose::docker_run::{convert, inspected};
use compose::quantity::words;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(words) = words::split(text) {
        let _ = convert(&words);
    }
    if let Ok(json) = serde_json::from_str(text) {
        let _ = inspected(&json, None);
    }
});
