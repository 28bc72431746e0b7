//! Which fields of two values of a type differ, by their JSON.

use serde::Serialize;
use serde_json::Value;

/// The dotted paths of the fields that differ; what is absent, null or empty counts as equal.
pub(super) fn fields<T: Serialize>(old: &T, new: &T) -> Vec<String> {
    let mut found = Vec::new();
    let json = |value: &T| serde_json::to_value(value).unwrap_or_default();
    compare("", &json(old), &json(new), &mut found);
    found
}

fn compare(path: &str, old: &Value, new: &Value, found: &mut Vec<String>) {
    let none = serde_json::Map::new();
    match (old, new) {
        (Value::Object(_) | Value::Null, Value::Object(_) | Value::Null) => {
            let (old, new) = (old.as_object().unwrap_or(&none), new.as_object().unwrap_or(&none));
            let keys: std::collections::BTreeSet<&String> = old.keys().chain(new.keys()).collect();
            for key in keys {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                let of = |map: &serde_json::Map<String, Value>| {
                    map.get(key).cloned().unwrap_or_default()
                };
                compare(&path, &of(old), &of(new), found);
            }
        }
        (old, new) if old == new || (is_nothing(old) && is_nothing(new)) => {}
        _ => found.push(path.to_owned()),
    }
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) => false,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.values().all(is_nothing),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn paths_name_what_differs_and_nothing_else() {
        let old = json!({"A": {"B": 1, "C": [], "D": null}, "E": "x", "F": {"G": ""}});
        let new = json!({"A": {"B": 2, "D": 0}, "E": "x", "H": [1]});
        assert_eq!(fields(&old, &new), ["A.B", "H"]);
        assert_eq!(fields(&old, &old), Vec::<String>::new());
    }
}
