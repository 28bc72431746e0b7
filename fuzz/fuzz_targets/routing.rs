//! Who answers a request on a host's socket: the path that is passed on is the one that was judged.
#![no_main]

use agent::socket::route::{asked, for_engine, query, who};
use http::{Method, Uri};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Some((method, path)) = text.split_once(' ') else { return };
    let (Ok(method), Ok(uri)) = (method.parse::<Method>(), path.parse::<Uri>()) else { return };
    let Ok(asked) = asked(&uri) else { return };
    let judged = who(&method, &asked.path);
    for key in ["force", "filters", "scope"] {
        let _ = query(&asked.path, key);
    }
    let passed = for_engine(&asked, Some((1, 24)), Some((1, 41)));
    let again: Uri = passed.parse().expect("what is passed on is a path");
    let again = super_asked(&again);
    assert_eq!(again.path, asked.path, "{passed}");
    assert_eq!(who(&method, &again.path), judged);
});

fn super_asked(uri: &Uri) -> agent::socket::route::Asked {
    asked(uri).expect("a version that is spoken")
}
