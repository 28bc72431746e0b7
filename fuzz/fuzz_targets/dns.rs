//! Questions to the containers' name server.
#![no_main]

use std::net::Ipv4Addr;

use agent_core::net::message::{Code, Query, answers, truncate};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = truncate(bytes);
    let Ok(query) = Query::read(bytes) else { return };
    let _ = query.internet_name();
    let limit = query.udp_limit();
    let many: Vec<Ipv4Addr> = (0..=255).map(|n| Ipv4Addr::new(10, 0, 0, n)).collect();
    for answer in [query.answer_addresses(&many, limit), query.answer_code(Code::NotImplemented)] {
        assert!(answer.len() <= limit.max(bytes.len()), "an answer fits");
        assert!(answers(&answer, bytes), "it is an answer to the question");
    }
});
