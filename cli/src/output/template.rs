//! `--format '{{.Name}}: {{.Replicas}}'`: the part of docker's templates that scripts use.
//!
//! `{{.Field}}` is a column of the table (its heading without blanks) or a field of the object,
//! `{{.A.B}}` a field inside a field, `{{json .Field}}` the same as JSON; `upper` and `lower` change
//! case. `\t` and `\n` are what they are elsewhere. Deliberately absent: conditions and loops; for
//! those there is `--format json` and `jq`.

use serde_json::Value;

/// A template that was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// `table …`: columns under headings.
    pub is_table: bool,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Field { how: How, path: Vec<String> },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    Plain,
    Json,
    Upper,
    Lower,
}

/// What one line is made of.
pub struct Row<'a> {
    pub headings: &'a [String],
    pub cells: &'a [String],
    pub object: &'a Value,
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// What is not understood, and what is.
    pub fn parse(text: &str) -> Result<Template, String> {
        let (is_table, text) = match text.strip_prefix("table ") {
            Some(rest) => (true, rest.trim_start()),
            None => (false, text),
        };
        let text = text.replace("\\t", "\t").replace("\\n", "\n");
        let mut parts = Vec::new();
        let mut rest = text.as_str();
        while let Some(start) = rest.find("{{") {
            if start > 0 {
                parts.push(Part::Text(rest[..start].to_owned()));
            }
            let inside = &rest[start + 2..];
            let end = inside.find("}}").ok_or("{{ is never closed by }}")?;
            parts.push(field(inside[..end].trim_matches(['-', ' ']))?);
            rest = &inside[end + 2..];
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Template { is_table, parts })
    }

    /// The line of one row, without its line feed.
    ///
    /// # Errors
    /// When the row has no such field.
    pub fn line(&self, row: &Row<'_>) -> anyhow::Result<String> {
        let mut line = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => line.push_str(text),
                Part::Field { how, path } => line.push_str(&shown(*how, path, row)?),
            }
        }
        Ok(line)
    }

    /// The headings of `table …`: docker's, the last part of each path in capitals.
    #[must_use]
    pub fn headings(&self) -> String {
        let heading = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Field { path, .. } => {
                path.last().map_or_else(|| "JSON".to_owned(), |word| spaced(word))
            }
        };
        self.parts.iter().map(heading).collect()
    }
}

fn field(text: &str) -> Result<Part, String> {
    let mut words: Vec<&str> = text.split_whitespace().collect();
    let path = words.pop().unwrap_or_default();
    let how = match words[..] {
        [] => How::Plain,
        ["json"] => How::Json,
        ["upper"] => How::Upper,
        ["lower"] => How::Lower,
        _ => return Err(unknown(text)),
    };
    let Some(path) = path.strip_prefix('.') else { return Err(unknown(text)) };
    let path: Vec<String> = path.split('.').filter(|w| !w.is_empty()).map(str::to_owned).collect();
    if path.iter().any(|word| !word.chars().all(|c| c.is_alphanumeric() || "_-".contains(c))) {
        return Err(unknown(text));
    }
    Ok(Part::Field { how, path })
}

fn unknown(text: &str) -> String {
    format!(
        "{{{{{text}}}}} is not understood; allowed: {{{{.Field}}}}, {{{{.Field.Field}}}}, \
         {{{{json .Field}}}}, {{{{upper .Field}}}}, {{{{lower .Field}}}} (for more: --format json)"
    )
}

fn shown(how: How, path: &[String], row: &Row<'_>) -> anyhow::Result<String> {
    if let ([word], How::Plain | How::Upper | How::Lower) = (path, how)
        && let Some(at) = row.headings.iter().position(|h| is_column(h, word))
    {
        let cell = row.cells.get(at).cloned().unwrap_or_default();
        return Ok(cased(how, cell));
    }
    let mut value = row.object;
    for word in path {
        value = member(value, word).ok_or_else(|| {
            let known = row.headings.iter().map(|h| joined(h)).filter(|h| !h.is_empty());
            let known: Vec<String> = known.chain(fields(value)).collect();
            anyhow::anyhow!("there is no field .{}; fields: {}", path.join("."), known.join(", "))
        })?;
    }
    Ok(match (how, value) {
        (How::Json, value) => value.to_string(),
        (how, Value::String(text)) => cased(how, text.clone()),
        (_, Value::Null) => String::new(),
        (how, value) => cased(how, value.to_string()),
    })
}

fn cased(how: How, text: String) -> String {
    match how {
        How::Plain | How::Json => text,
        How::Upper => text.to_uppercase(),
        How::Lower => text.to_lowercase(),
    }
}

/// A field by its name, however it is written.
fn member<'v>(value: &'v Value, word: &str) -> Option<&'v Value> {
    match value {
        Value::Object(map) => map.get(word).or_else(|| {
            map.iter().find(|(key, _)| key.eq_ignore_ascii_case(word)).map(|(_, value)| value)
        }),
        Value::Array(list) => list.get(word.parse::<usize>().ok()?),
        _ => None,
    }
}

fn fields(value: &Value) -> Vec<String> {
    value.as_object().map(|map| map.keys().cloned().collect()).unwrap_or_default()
}

/// Docker's names of columns are their headings, but for a few.
fn is_column(heading: &str, word: &str) -> bool {
    let heading = joined(heading).to_lowercase();
    let word = word.to_lowercase();
    heading == word
        || matches!(
            (word.as_str(), heading.as_str()),
            ("createdat", "created")
                | ("updatedat", "updated")
                | ("id", "networkid")
                | ("name", "volumename")
                | ("node", "node")
        )
}

/// `DESIRED STATE` as `DesiredState`.
fn joined(heading: &str) -> String {
    let word = |word: &str| match word {
        "ID" => "ID".to_owned(),
        word => {
            let mut letters = word.chars();
            let first: String = letters.next().into_iter().collect();
            first + &letters.as_str().to_lowercase()
        }
    };
    heading.split_whitespace().map(word).collect()
}

/// `DesiredState` as `DESIRED STATE`.
fn spaced(word: &str) -> String {
    let mut text = String::new();
    let mut before = ' ';
    for c in word.chars() {
        if c.is_uppercase() && before.is_lowercase() {
            text.push(' ');
        }
        text.extend(c.to_uppercase());
        before = c;
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn line(template: &str) -> String {
        let headings = ["ID", "DESIRED STATE", "CREATED"].map(str::to_owned);
        let cells = ["x1", "Running", "2 days ago"].map(str::to_owned);
        let object = json!({"ID": "x1full", "Spec": {"Labels": {"a-b": "c"}, "N": 3}});
        let row = Row { headings: &headings, cells: &cells, object: &object };
        match Template::parse(template) {
            Ok(template) => template.line(&row).unwrap_or_else(|e| e.to_string()),
            Err(e) => e,
        }
    }

    #[test]
    fn fields_are_columns_first_and_then_the_object_s() {
        assert_eq!(line("{{.ID}} {{ .DesiredState }}"), "x1 Running");
        assert_eq!(line("{{.CreatedAt}}"), "2 days ago");
        assert_eq!(line("{{.Spec.Labels.a-b}}={{.spec.n}}"), "c=3");
        assert_eq!(
            line("{{json .Spec.Labels}}\\t{{upper .desiredstate}}"),
            "{\"a-b\":\"c\"}\tRUNNING"
        );
        assert_eq!(line("{{json .ID}}"), "\"x1full\"");
    }

    #[test]
    fn what_is_not_understood_says_what_is() {
        assert!(line("{{.Nam}}").contains("there is no field .Nam; fields: ID, DesiredState"));
        assert!(line("{{range .X}}{{end}}").contains("--format json"));
        assert!(line("{{.ID").contains("never closed"));
    }

    #[test]
    fn a_table_has_headings() {
        let template = Template::parse("table {{.ID}}\\t{{.DesiredState}}").expect("a template");
        assert!(template.is_table);
        assert_eq!(template.headings(), "ID\tDESIRED STATE");
    }
}
