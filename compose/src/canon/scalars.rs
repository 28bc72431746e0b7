//! The single values: texts, numbers, durations, sizes, commands.

use super::Canon;
use crate::nearest::did_you_mean;
use crate::path::KeyPath;
use crate::problem::{Problem, Severity};
use crate::quantity::{cpus, duration, size, words};
use crate::schema::SizeForm;
use crate::yaml::{Node, Value, scalar};

impl Canon<'_> {
    pub(super) fn text(&mut self, node: &mut Node, path: &KeyPath<'_>) {
        if !matches!(node.value, Value::Str(_)) {
            self.wrong_type(node, "a text", path);
        }
    }

    pub(super) fn word(&mut self, node: &mut Node, path: &KeyPath<'_>) {
        match node.value {
            Value::Str(_) => {}
            Value::Int(_) | Value::Float(_) => {
                if let Some(text) = node.scalar_text() {
                    node.value = Value::Str(text.into());
                }
            }
            Value::Null | Value::Bool(_) | Value::List(_) | Value::Map(_) => {
                self.wrong_type(node, "a text or a number", path);
            }
        }
    }

    pub(super) fn boolean(&mut self, node: &mut Node, path: &KeyPath<'_>) {
        match &node.value {
            Value::Bool(_) => {}
            Value::Str(text) => match scalar::truth(text) {
                Some(value) => node.value = Value::Bool(value),
                None => {
                    let help = did_you_mean(text, ["true", "false", "yes", "no"]);
                    self.bad(
                        node,
                        format!("`{text}` is not a boolean"),
                        "true or false",
                        help,
                        path,
                    );
                }
            },
            Value::Null | Value::Int(_) | Value::Float(_) | Value::List(_) | Value::Map(_) => {
                self.wrong_type(node, "true or false", path);
            }
        }
    }

    pub(super) fn int(&mut self, node: &mut Node, min: i64, max: i64, path: &KeyPath<'_>) {
        let allowed = bounds(min, max);
        let number = match &node.value {
            Value::Int(number) => Some(*number),
            Value::Float(number) => whole(*number),
            Value::Str(text) => text.parse().ok(),
            Value::Null | Value::Bool(_) | Value::List(_) | Value::Map(_) => {
                self.wrong_type(node, &allowed, path);
                return;
            }
        };
        match number {
            Some(number) if (min..=max).contains(&number) => node.value = Value::Int(number),
            _ => {
                let text = node.scalar_text().unwrap_or_default();
                let digits = text.strip_prefix('-').unwrap_or(&text);
                let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
                let message = if number.is_some() || is_number {
                    format!("{text} is out of range")
                } else {
                    format!("`{text}` is not a whole number")
                };
                self.bad(node, message, &allowed, None, path);
            }
        }
    }

    /// Octal in a text: `"0440"` and a variable holding `0440` mean what `0440` means.
    pub(super) fn mode(&mut self, node: &mut Node, path: &KeyPath<'_>) {
        const ALLOWED: &str = "permission bits such as 0440";
        if let Value::Str(text) = &node.value {
            let digits = text.strip_prefix("0o").unwrap_or(text);
            match i64::from_str_radix(digits, 8) {
                Ok(mode) => node.value = Value::Int(mode),
                Err(_) => {
                    let message = format!("`{text}` is not an octal number");
                    self.bad(node, message, ALLOWED, None, path);
                    return;
                }
            }
        }
        if let Value::Float(number) = node.value
            && let Some(number) = whole(number)
        {
            node.value = Value::Int(number);
        }
        match node.value {
            Value::Int(mode) if (0..=0o7777).contains(&mode) => {}
            Value::Int(mode) => {
                // `mode: 444` is read as decimal 444 by YAML: 0674. Not an error by itself.
                let message = format!("{mode} is no set of permission bits");
                self.bad(node, message, ALLOWED, None, path);
            }
            _ => self.wrong_type(node, ALLOWED, path),
        }
    }

    pub(super) fn number(&mut self, node: &mut Node, path: &KeyPath<'_>) {
        match &node.value {
            Value::Int(_) => {}
            Value::Float(number) if number.is_finite() => {}
            Value::Str(text) => match text.parse::<f64>() {
                Ok(number) if number.is_finite() && !text.contains(['n', 'N', 'i', 'I']) => {
                    node.value = whole(number).map_or(Value::Float(number), Value::Int);
                }
                _ => {
                    let message = format!("`{text}` is not a number");
                    self.bad(node, message, "a number", None, path);
                }
            },
            Value::Null | Value::Bool(_) | Value::Float(_) | Value::List(_) | Value::Map(_) => {
                self.wrong_type(node, "a number", path)
            }
        }
    }

    pub(super) fn duration(&mut self, node: &mut Node, path: &KeyPath<'_>) {
        const ALLOWED: &str = "a duration such as 10s, 1m30s, 500ms (units h, m, s, ms, us)";
        let text = match &node.value {
            Value::Str(text) => text,
            Value::Int(number) => {
                let help = Some(format!("write `{number}s` for seconds"));
                let message = format!("{number} has no unit");
                self.bad(node, message, ALLOWED, help, path);
                return;
            }
            Value::Null | Value::Bool(_) | Value::Float(_) | Value::List(_) | Value::Map(_) => {
                self.wrong_type(node, ALLOWED, path);
                return;
            }
        };
        match duration::parse(text) {
            Ok(nanos) if nanos >= 0 => node.value = Value::Str(duration::text(nanos).into()),
            Ok(_) => {
                let message = format!("`{text}` is negative");
                self.bad(node, message, ALLOWED, None, path);
            }
            Err(error) => {
                let message = format!("`{text}` is not a duration: {error}");
                self.bad(node, message, ALLOWED, error.help(), path);
            }
        }
    }

    pub(super) fn micros(&mut self, node: &mut Node, path: &KeyPath<'_>) {
        const ALLOWED: &str = "a number of microseconds, or a duration such as 50ms";
        if let Value::Str(text) = &node.value {
            let micros = match text.parse::<i64>() {
                Ok(micros) => Ok(micros),
                Err(_) => duration::parse(text).map(|nanos| nanos / 1_000),
            };
            match micros {
                Ok(micros) => node.value = Value::Int(micros),
                Err(error) => {
                    let message = format!("`{text}` is not a duration: {error}");
                    self.bad(node, message, ALLOWED, error.help(), path);
                    return;
                }
            }
        }
        self.int(node, -1, i64::MAX, path);
    }

    pub(super) fn size(&mut self, node: &mut Node, form: SizeForm, path: &KeyPath<'_>) {
        let text = match &node.value {
            Value::Str(text) => text.clone(),
            Value::Int(_) | Value::Float(_) if form != SizeForm::TextOnly => {
                node.scalar_text().unwrap_or_default().into()
            }
            Value::Int(number) => {
                let help = Some(format!("quote it, or give a unit: \"{number}\", {number}M"));
                self.bad(node, "this is a number".to_owned(), size::ALLOWED, help, path);
                return;
            }
            Value::Null | Value::Bool(_) | Value::Float(_) | Value::List(_) | Value::Map(_) => {
                self.wrong_type(node, size::ALLOWED, path);
                return;
            }
        };
        if form == SizeForm::OrUnlimited && text == "-1" {
            node.value = Value::Str(text);
            return;
        }
        match size::parse(&text) {
            Ok(bytes) => {
                node.value = match form {
                    SizeForm::Number => Value::Int(bytes),
                    SizeForm::AsGiven => Value::Str(text),
                    SizeForm::TextOnly | SizeForm::Digits | SizeForm::OrUnlimited => {
                        Value::Str(bytes.to_string().into())
                    }
                };
            }
            Err(error) => {
                let message = format!("`{text}` is not a size: {error}");
                self.bad(node, message, size::ALLOWED, error.help(&text), path);
            }
        }
    }

    pub(super) fn cpus(&mut self, node: &mut Node, path: &KeyPath<'_>) {
        const ALLOWED: &str = "a number of CPUs such as 0.5";
        let text = match &node.value {
            Value::Str(text) => text.clone(),
            Value::Int(_) | Value::Float(_) => node.scalar_text().unwrap_or_default().into(),
            Value::Null | Value::Bool(_) | Value::List(_) | Value::Map(_) => {
                self.wrong_type(node, ALLOWED, path);
                return;
            }
        };
        if !text.is_empty()
            && let Err(error) = cpus::parse(&text)
        {
            let message = format!("`{text}` is not a number of CPUs: {error}");
            self.bad(node, message, ALLOWED, None, path);
            return;
        }
        node.value = Value::Str(text);
    }

    pub(super) fn one_of(
        &mut self,
        node: &mut Node,
        words: &'static [&'static str],
        path: &KeyPath<'_>,
    ) {
        self.text(node, path);
        let Value::Str(text) = &node.value else { return };
        if text.is_empty() || words.contains(&text.as_str()) {
            return;
        }
        let lower = text.to_ascii_lowercase();
        if words.contains(&lower.as_str()) {
            node.value = Value::Str(lower.into());
            return;
        }
        // What `restart` calls it.
        if words.contains(&"any") && matches!(text.as_str(), "always" | "unless-stopped") {
            self.problems.push(
                Problem::new(
                    Severity::Warning,
                    node.span,
                    path.to_string(),
                    format!("`{text}` is called `any` here"),
                )
                .allowed(words.join(", ")),
            );
            node.value = Value::Str("any".into());
            return;
        }
        let help = did_you_mean(text, words.iter().copied());
        self.bad(node, format!("`{text}` is not known"), &words.join(", "), help, path);
    }

    pub(super) fn command(&mut self, node: &mut Node, path: &KeyPath<'_>) {
        match &node.value {
            Value::Null => {}
            Value::Str(line) => match words::split(line) {
                Ok(words) => {
                    let span = node.span;
                    node.value =
                        Value::List(words.into_iter().map(|w| Node::text(w, span)).collect());
                }
                Err(error) => self.bad(
                    node,
                    format!("this is no command line: {error}"),
                    "a command line, or a list of words",
                    Some("give a list to be exact: [\"sh\", \"-c\", \"…\"]".to_owned()),
                    path,
                ),
            },
            Value::List(_) => self.list(node, &crate::schema::TEXT, path),
            Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Map(_) => {
                self.wrong_type(node, "a text (a command line) or a list of words", path);
            }
        }
    }

    pub(super) fn health_test(&mut self, node: &mut Node, path: &KeyPath<'_>) {
        match &node.value {
            Value::Str(line) => {
                let span = node.span;
                let words = [Node::text("CMD-SHELL", span), Node::text(line.clone(), span)];
                node.value = Value::List(words.into());
            }
            Value::List(_) => self.list(node, &crate::schema::TEXT, path),
            Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Map(_) => {
                self.wrong_type(node, "a text (a shell command) or a list of words", path);
            }
        }
    }
}

fn bounds(min: i64, max: i64) -> String {
    match (min, max) {
        (i64::MIN, i64::MAX) => "a whole number".to_owned(),
        (min, i64::MAX) => format!("a whole number from {min}"),
        (min, max) => format!("a whole number from {min} to {max}"),
    }
}

/// The number as a whole one, when it is one.
fn whole(number: f64) -> Option<i64> {
    #[allow(clippy::cast_possible_truncation)] // checked by the range
    (number.fract() == 0.0 && number.abs() < 9e15).then_some(number as i64)
}
