//! Docker's filters: `filters={"name":["web"]}`, also in the form `{"name":{"web":true}}`.
//!
//! Values of one key are alternatives, keys must all hold; labels must all hold. Names and ids are
//! matched by their beginning.

use std::collections::{BTreeMap, BTreeSet};

use model::spec::Labels;
use serde::Deserialize;

use super::error::ApiError;

/// What a list is narrowed to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Filters(BTreeMap<String, BTreeSet<String>>);

/// The two forms of a key's values. The second's booleans say nothing.
#[derive(Deserialize)]
#[serde(untagged)]
enum Values {
    List(Vec<String>),
    Set(BTreeMap<String, serde_json::Value>),
}

impl Filters {
    /// From the parameter's text. An empty one narrows nothing.
    pub(super) fn parse(text: &str, keys: &[&str]) -> Result<Filters, ApiError> {
        if text.is_empty() {
            return Ok(Filters::default());
        }
        let read: Option<BTreeMap<String, Values>> = serde_json::from_str(text)
            .map_err(|e| ApiError::bad_request(format!("invalid filters: {e}")))?;
        let mut filters = BTreeMap::new();
        for (key, values) in read.unwrap_or_default() {
            if !keys.contains(&key.as_str()) {
                return Err(ApiError::bad_request(format!("Invalid filter '{key}'")));
            }
            let values: BTreeSet<String> = match values {
                Values::List(list) => list.into_iter().collect(),
                Values::Set(set) => set.into_keys().collect(),
            };
            if !values.is_empty() {
                filters.insert(key, values);
            }
        }
        Ok(Filters(filters))
    }

    /// The key's values; none when the key is not there.
    pub(super) fn values(&self, key: &str) -> Option<impl Iterator<Item = &str> + Clone> {
        self.0.get(key).map(|values| values.iter().map(String::as_str))
    }

    /// The key is not there, or one of its values is `judged` good.
    pub(super) fn any(&self, key: &str, judged: impl FnMut(&str) -> bool) -> bool {
        self.values(key).is_none_or(|mut values| values.any(judged))
    }

    /// The key is not there, or one of its values is the beginning of `text`.
    pub(super) fn begins(&self, key: &str, text: &str) -> bool {
        self.any(key, |value| text.starts_with(value))
    }

    /// The key is not there, or one of its values is `text`.
    pub(super) fn is(&self, key: &str, text: &str) -> bool {
        self.any(key, |value| value == text)
    }

    /// The key is not there, or the labels hold all of its values: `name`, `name=` or `name=value`.
    pub(super) fn labels(&self, key: &str, labels: &Labels) -> bool {
        self.values(key).is_none_or(|mut values| {
            values.all(|value| match value.split_once('=') {
                None | Some((_, "")) => labels.contains_key(value.trim_end_matches('=')),
                Some((name, value)) => labels.get(name).is_some_and(|v| v == value),
            })
        })
    }

    /// Refuses a value of the key that is not one of `known`.
    pub(super) fn only(&self, key: &str, known: &[&str]) -> Result<(), ApiError> {
        let wrong = self.values(key).and_then(|mut values| values.find(|v| !known.contains(v)));
        match wrong {
            Some(value) => Err(ApiError::bad_request(format!("Invalid {key} filter: '{value}'"))),
            None => Ok(()),
        }
    }

    /// The key's value as yes or no, when it is there.
    pub(super) fn flag(&self, key: &str) -> Result<Option<bool>, ApiError> {
        let Some(mut values) = self.values(key) else { return Ok(None) };
        match (values.next(), values.next()) {
            (Some("true" | "1" | "t" | "T" | "TRUE" | "True"), None) => Ok(Some(true)),
            (Some("false" | "0" | "f" | "F" | "FALSE" | "False"), None) => Ok(Some(false)),
            _ => Err(ApiError::bad_request(format!("Invalid filter '{key}'"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Filters, String> {
        Filters::parse(text, &["name", "label", "role"]).map_err(|e| e.message)
    }

    #[test]
    fn both_forms_mean_the_same() {
        let list = parse(r#"{"name":["web","db"]}"#).expect("the list form");
        assert_eq!(parse(r#"{"name":{"db":true,"web":false}}"#), Ok(list.clone()));
        assert!(list.begins("name", "website") && !list.begins("name", "api"));
        assert!(list.is("role", "anything"), "a key that is not there narrows nothing");
        assert_eq!(parse(""), Ok(Filters::default()));
        assert_eq!(parse("{}"), Ok(Filters::default()));
    }

    #[test]
    fn labels_must_all_hold() {
        let labels: Labels = [("zone", "a"), ("ssd", "")].map(|(k, v)| (k.into(), v.into())).into();
        for (text, holds) in [
            (r#"{"label":["zone"]}"#, true),
            (r#"{"label":["zone="]}"#, true),
            (r#"{"label":["zone=a","ssd"]}"#, true),
            (r#"{"label":["zone=a","rack"]}"#, false),
            (r#"{"label":["zone=b"]}"#, false),
        ] {
            assert_eq!(parse(text).expect("filters").labels("label", &labels), holds, "{text}");
        }
    }

    #[test]
    fn what_is_no_filter_is_refused() {
        assert_eq!(parse(r#"{"bogus":["a"]}"#), Err("Invalid filter 'bogus'".into()));
        assert!(parse("abc").is_err());
        let filters = parse(r#"{"role":["boss"]}"#).expect("filters");
        let wrong = filters.only("role", &["manager", "worker"]).expect_err("no such role");
        assert_eq!(wrong.message, "Invalid role filter: 'boss'");
    }
}
