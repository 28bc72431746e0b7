//! tmp
use std::io::Read;
fn main() {
    let mut s = String::new();
    std::io::stdin().read_to_string(&mut s).unwrap();
    for f in s.lines() {
        let b = std::fs::read(f).unwrap();
        let r = match compose::yaml::encoding::decode(&b) {
            Err(e) => format!("ERR {e}"),
            Ok(t) => {
                let mut p = Vec::new();
                let n = compose::yaml::parse::parse(&t, compose::source::SourceId(0), &mut p);
                match n {
                    Some(n) if std::env::args().count() > 1 => format!("OK {}", n.to_json()),
                    Some(_) => "OK".into(),
                    None => { let l = p.last().unwrap(); let s = l.span.unwrap(); let line = t[..s.start as usize].lines().count(); format!("ERR {} @{} {:?}", l.message, line, &t[s.start as usize..].chars().take(60).collect::<String>()) },
                }
            }
        };
        println!("{f}\t{r}");
    }
}
