//! Any text at all as a file of variables, in both forms.
#![no_main]

use compose::env_file::{Form, parse};
use compose::source::SourceId;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    for form in [Form::Raw, Form::Dotenv] {
        let mut problems = Vec::new();
        parse(text, SourceId(0), form, &|_| None, &mut problems);
    }
});
