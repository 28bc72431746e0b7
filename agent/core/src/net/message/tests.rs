//! Tests of reading and writing DNS messages.

use proptest::prelude::*;

use super::*;

pub(crate) fn question(name: &str, kind: u16) -> Vec<u8> {
    let mut out = header(0x1234, FLAG_RECURSION_DESIRED, Code::Ok, [1, 0, 0, 0]);
    for label in name.split('.') {
        out.push(u8::try_from(label.len()).expect("a short label"));
        out.extend_from_slice(label.as_bytes());
    }
    out.push(0);
    out.extend_from_slice(&kind.to_be_bytes());
    out.extend_from_slice(&CLASS_IN.to_be_bytes());
    out
}

#[test]
fn a_question_is_read_in_lower_case_and_echoed_as_it_came() {
    let bytes = question("Web.Demo_Default", TYPE_A);
    let query = Query::read(&bytes).expect("a question");
    assert_eq!(query.internet_name(), Some("web.demo_default"));
    let answer = query.answer_addresses(&[Ipv4Addr::new(10, 1, 2, 3)], PLAIN_UDP);
    assert_eq!(answer[..4], [0x12, 0x34, 0x85, 0x80]);
    assert_eq!(answer[4..12], [0, 1, 0, 1, 0, 0, 0, 0]);
    assert_eq!(answer[12..bytes.len()], bytes[12..]);
    assert_eq!(answer[bytes.len()..], [0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 10, 1, 2, 3]);
    assert!(answers(&answer, &bytes));
    assert!(!answers(&answer, &question("other", TYPE_A)));
}

#[test]
fn a_known_name_has_no_records_of_another_kind() {
    const TYPE_AAAA: u16 = 28;
    let query = Query::read(&question("web", TYPE_AAAA)).expect("a question");
    let answer = query.answer_addresses(&[Ipv4Addr::new(10, 1, 2, 3)], PLAIN_UDP);
    assert_eq!(answer[3] & 0x0f, Code::Ok as u8);
    assert_eq!(answer[6..8], [0, 0]);
}

#[test]
fn an_answer_that_does_not_fit_says_so() {
    let query = Query::read(&question("web", TYPE_A)).expect("a question");
    let many: Vec<Ipv4Addr> = (0..60).map(|last| Ipv4Addr::new(10, 1, 2, last)).collect();
    let short = query.answer_addresses(&many, query.udp_limit());
    assert!(short.len() <= PLAIN_UDP && is_truncated(&short));
    let whole = query.answer_addresses(&many, MOST_TCP);
    assert!(!is_truncated(&whole));
    assert_eq!(u16::from_be_bytes([whole[6], whole[7]]), 60);
    let cut = truncate(&whole);
    assert!(is_truncated(&cut) && cut.len() == question("web", TYPE_A).len());
}

#[test]
fn an_asker_that_speaks_edns_gets_more_and_is_answered_in_kind() {
    let mut bytes = question("web", TYPE_A);
    bytes[11] = 1;
    bytes.extend_from_slice(&[0, 0, 41, 0x10, 0, 0, 0, 0, 0, 0, 0]);
    let query = Query::read(&bytes).expect("a question");
    assert_eq!(query.udp_limit(), MOST_UDP);
    let answer = query.answer_addresses(&[Ipv4Addr::LOCALHOST], query.udp_limit());
    assert_eq!(answer[10..12], [0, 1]);
    assert_eq!(answer[answer.len() - 11..][..3], [0, 0, 41]);
}

#[test]
fn a_pointer_is_answered_with_a_name() {
    let query = Query::read(&question("5.0.1.10.in-addr.arpa", TYPE_PTR)).expect("a question");
    let answer = query.answer_pointer("web.net", PLAIN_UDP);
    assert!(answer.ends_with(b"\x03web\x03net\x00"));
    let long = "x".repeat(64);
    assert_eq!(query.answer_pointer(&long, PLAIN_UDP)[3] & 0x0f, Code::Failed as u8);
}

#[test]
fn what_is_no_question_is_refused() {
    let good = question("web", TYPE_A);
    assert_eq!(Query::read(&good[..5]), Err(Refusal::Silent));
    let mut response = good.clone();
    response[2] |= 0x80;
    assert_eq!(Query::read(&response), Err(Refusal::Silent));
    let code = |code| Err(Refusal::Code { id: 0x1234, code });
    let mut notify = good.clone();
    notify[2] |= 0x20;
    assert_eq!(Query::read(&notify), code(Code::NotImplemented));
    let mut two = good.clone();
    two[5] = 2;
    assert_eq!(Query::read(&two), code(Code::Malformed));
    assert_eq!(Query::read(&good[..good.len() - 1]), code(Code::Malformed));
    let mut compressed = good.clone();
    compressed[12] = 0xc0;
    assert_eq!(Query::read(&compressed), code(Code::Malformed));
}

proptest! {
    #[test]
    fn no_input_does_harm(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        if let Ok(query) = Query::read(&bytes) {
            let addresses = [Ipv4Addr::LOCALHOST; 40];
            prop_assert!(query.answer_addresses(&addresses, query.udp_limit()).len() <= MOST_UDP);
        }
        let _ = truncate(&bytes);
        let _ = answers(&bytes, &bytes);
    }

    #[test]
    fn a_damaged_question_does_no_harm(at in 0usize..40, value: u8) {
        let mut bytes = question("web.demo.example", TYPE_A);
        let place = at % bytes.len();
        bytes[place] = value;
        if let Ok(query) = Query::read(&bytes) {
            let answer = query.answer_addresses(&[Ipv4Addr::LOCALHOST], PLAIN_UDP);
            prop_assert!(answers(&answer, &bytes));
        }
    }
}
