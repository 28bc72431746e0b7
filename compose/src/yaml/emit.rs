//! Writes a tree as YAML that reads back to the same tree, with this reader and with any other.

use super::{Map, Node, Value, scalar};

/// Block style, two spaces of indent, keys in the order of the tree.
#[must_use]
pub fn emit(node: &Node) -> String {
    let mut out = String::new();
    match &node.value {
        Value::Map(map) if !map.is_empty() => entries(map, 0, &mut out),
        Value::List(items) if !items.is_empty() => list(items, 0, &mut out),
        _ => {
            inline(&node.value, 0, &mut out);
            out.push('\n');
        }
    }
    out
}

fn entries(map: &Map, indent: usize, out: &mut String) {
    for (at, (key, entry)) in map.iter().enumerate() {
        if at > 0 || out.ends_with('\n') || out.is_empty() {
            pad(indent, out);
        }
        text(key, out);
        out.push(':');
        below(&entry.node, indent, out);
    }
}

fn list(items: &[Node], indent: usize, out: &mut String) {
    for item in items {
        pad(indent, out);
        out.push('-');
        match &item.value {
            Value::Map(map) if !map.is_empty() => {
                out.push(' ');
                entries(map, indent + 2, out);
            }
            Value::List(inner) if !inner.is_empty() => {
                out.push('\n');
                list(inner, indent + 2, out);
            }
            other => {
                out.push(' ');
                inline(other, indent, out);
                out.push('\n');
            }
        }
    }
}

/// What follows the colon of a key.
fn below(node: &Node, indent: usize, out: &mut String) {
    match &node.value {
        Value::Map(map) if !map.is_empty() => {
            out.push('\n');
            entries(map, indent + 2, out);
        }
        Value::List(items) if !items.is_empty() => {
            out.push('\n');
            list(items, indent + 2, out);
        }
        other => {
            out.push(' ');
            inline(other, indent, out);
            out.push('\n');
        }
    }
}

fn inline(value: &Value, indent: usize, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Int(number) => out.push_str(&number.to_string()),
        Value::Float(number) if number.is_nan() => out.push_str(".nan"),
        Value::Float(number) if number.is_infinite() => {
            out.push_str(if *number > 0.0 { ".inf" } else { "-.inf" });
        }
        Value::Float(number) => {
            let written = scalar::float_text(*number);
            out.push_str(&written);
            if !written.contains(['.', 'e']) {
                out.push_str(".0");
            }
        }
        Value::Str(value) if block(value) => literal(value, indent, out),
        Value::Str(value) => text(value, out),
        Value::List(_) => out.push_str("[]"),
        Value::Map(_) => out.push_str("{}"),
    }
}

/// Texts of several lines that a literal block can hold exactly.
fn block(value: &str) -> bool {
    value.trim_end_matches('\n').contains('\n')
        && !value.starts_with([' ', '\n', '\t'])
        && !value.ends_with("\n\n")
        && value.lines().all(|line| !line.ends_with([' ', '\t']) && !line.starts_with('\t'))
        && value.chars().all(|c| c == '\n' || c == '\t' || !special(c))
}

fn literal(value: &str, indent: usize, out: &mut String) {
    out.push_str(if value.ends_with('\n') { "|" } else { "|-" });
    for line in value.lines() {
        out.push('\n');
        if !line.is_empty() {
            pad(indent + 2, out);
            out.push_str(line);
        }
    }
}

/// A text on one line: plain where nobody could take it for something else, else quoted.
fn text(value: &str, out: &mut String) {
    if plain_is_safe(value) {
        out.push_str(value);
    } else {
        quoted(value, out);
    }
}

/// True for words that every YAML reader, of version 1.1 or 1.2, takes for a text.
fn plain_is_safe(value: &str) -> bool {
    let Some(first) = value.chars().next() else { return false };
    if value.len() > 200 && value.contains(' ') {
        return false;
    }
    let starts_well = first.is_alphabetic() || matches!(first, '/' | '_' | '.' | '$' | '(' | ')');
    if !starts_well
        || value.ends_with([' ', ':'])
        || value.contains(": ")
        || value.contains(" #")
        || value.chars().any(special)
        || value.contains(['\t', '\n'])
    {
        return false;
    }
    if !matches!(scalar::plain(value), Value::Str(_)) {
        return false;
    }
    let lower = value.to_ascii_lowercase();
    !matches!(lower.as_str(), "y" | "n" | "yes" | "no" | "on" | "off" | "..." | "=" | "<<")
}

fn special(c: char) -> bool {
    (c.is_control() && c != '\n' && c != '\t')
        || matches!(c, '\u{85}' | '\u{A0}' | '\u{2028}' | '\u{2029}' | '\u{FEFF}')
}

fn quoted(value: &str, out: &mut String) {
    out.push('"');
    for c in value.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if special(c) && u32::from(c) < 0x100 => {
                out.push_str(&format!("\\x{:02x}", u32::from(c)));
            }
            c if special(c) => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
}

fn pad(indent: usize, out: &mut String) {
    for _ in 0..indent {
        out.push(' ');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::SourceId;
    use crate::yaml::parse::parse;

    fn round(text: &str) -> String {
        let mut problems = Vec::new();
        let first = parse(text, SourceId(0), &mut problems).expect("a tree");
        let written = emit(&first);
        let second = parse(&written, SourceId(0), &mut problems).expect("a tree again");
        assert_eq!(problems, []);
        assert_eq!(first.to_json(), second.to_json(), "{written}");
        written
    }

    #[test]
    fn what_is_written_reads_back() {
        let text = r##"
a: {b: [1, 2, {c: d, e: [f]}], g: []}
h: "yes"
i: "80:80"
j: "017"
k: " x"
l: "a\nb\n"
m: "a\n  b"
n: "tab\there"
o: "# no comment"
p: "null"
"on": "~"
q: 1.0
r: {}
s: [[1, 2], [3]]
t: "é\u0085\x01"
u: "- x"
v: "\n"
w: "a: b"
"##;
        let written = round(text);
        assert!(written.contains("i: \"80:80\""), "{written}");
        assert!(written.contains("\"on\": \"~\""), "{written}");
        assert!(written.contains("l: |\n  a\n  b\n"), "{written}");
    }
}
