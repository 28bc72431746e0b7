//! Judges the JSON body of a request field by field and names everything that is wrong with it.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use serde_json::{Map, Value};
use uuid::Uuid;

/// What is wrong, by field.
pub type Problems = BTreeMap<&'static str, String>;

/// A body that is a JSON object, and the problems found in it so far.
pub struct Fields {
    object: Map<String, Value>,
    problems: Problems,
}

impl Fields {
    /// # Errors
    /// The sentence to answer with when the body is no JSON object.
    pub fn parse(body: &[u8]) -> Result<Self, String> {
        match serde_json::from_slice(body) {
            Ok(Value::Object(object)) => Ok(Self { object, problems: Problems::new() }),
            Ok(other) => Err(format!("the body must be a JSON object, not {}", kind(&other))),
            Err(error) => Err(format!("the body is not JSON: {error}")),
        }
    }

    /// A text of `length` characters that is not blank; blanks around it are cut off.
    pub fn text(&mut self, name: &'static str, length: RangeInclusive<usize>) -> String {
        let Some(value) = self.required(name) else { return String::new() };
        let Value::String(text) = value else {
            return self.refuse(name, format!("must be a text, not {}", kind(&value)));
        };
        let text = text.trim();
        if text.is_empty() && *length.start() > 0 {
            return self.refuse(name, "must not be empty".to_owned());
        }
        if !length.contains(&text.chars().count()) {
            return self
                .refuse(name, format!("must not be longer than {} characters", length.end()));
        }
        text.to_owned()
    }

    pub fn id(&mut self, name: &'static str) -> Uuid {
        let Some(value) = self.required(name) else { return Uuid::nil() };
        match value.as_str().map(Uuid::parse_str) {
            Some(Ok(id)) => id,
            _ => self.refuse(name, "must be an id (a UUID as text)".to_owned()),
        }
    }

    pub fn whole(&mut self, name: &'static str, range: RangeInclusive<u64>) -> u64 {
        let Some(value) = self.required(name) else { return 0 };
        match value.as_u64() {
            Some(number) if range.contains(&number) => number,
            _ => {
                let (least, most) = range.into_inner();
                self.refuse(name, format!("must be a whole number from {least} to {most}"))
            }
        }
    }

    /// # Errors
    /// All problems found, when there are any.
    pub fn finish(self) -> Result<(), Problems> {
        if self.problems.is_empty() { Ok(()) } else { Err(self.problems) }
    }

    fn required(&mut self, name: &'static str) -> Option<Value> {
        let value = self.object.remove(name);
        if value.is_none() {
            self.problems.insert(name, "is missing".to_owned());
        }
        value
    }

    fn refuse<T: Default>(&mut self, name: &'static str, problem: String) -> T {
        self.problems.insert(name, problem);
        T::default()
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(body: &str) -> String {
        let mut fields = Fields::parse(body.as_bytes()).expect("an object");
        fields.text("name", 1..=5);
        fields.id("customerId");
        fields.whole("quantity", 1..=9);
        let found = fields.finish().expect_err("problems");
        found.iter().map(|(name, problem)| format!("{name} {problem}\n")).collect()
    }

    #[test]
    fn every_missing_field_is_named() {
        assert_eq!(problems("{}"), "customerId is missing\nname is missing\nquantity is missing\n");
    }

    #[test]
    fn wrong_types_and_values_are_named_with_what_is_allowed() {
        assert_eq!(
            problems(r#"{"name": 7, "customerId": "x", "quantity": "3"}"#),
            "customerId must be an id (a UUID as text)\nname must be a text, not a number\n\
             quantity must be a whole number from 1 to 9\n"
        );
        for quantity in ["0", "-1", "1.5", "10", "null", "1e3", "99999999999999999999"] {
            let body = format!(r#"{{"quantity": {quantity}}}"#);
            assert!(problems(&body).contains("quantity must be a whole number"), "{quantity}");
        }
        assert!(problems(r#"{"name": " \t "}"#).contains("name must not be empty"));
        assert!(problems(r#"{"name": "abcdef"}"#).contains("not be longer than 5 characters"));
    }

    #[test]
    fn blanks_around_a_text_are_cut_off() {
        let mut fields = Fields::parse(br#"{"name": "  Ada \n"}"#).expect("an object");
        assert_eq!(fields.text("name", 1..=5), "Ada");
        assert_eq!(fields.finish(), Ok(()));
    }

    #[test]
    fn a_body_that_is_no_object_is_refused_with_the_reason() {
        for (body, reason) in [
            ("[1]", "the body must be a JSON object, not a list"),
            ("", "the body is not JSON: EOF"),
            ("{", "the body is not JSON: EOF"),
        ] {
            let found = Fields::parse(body.as_bytes()).err().expect("refused");
            assert!(found.starts_with(reason), "{found}");
        }
    }
}
