//! How answers are shown: docker's columns, JSON, YAML or a template.

pub mod template;

use std::fmt::Write as _;
use std::io::Write as _;

use serde::Serialize;
use template::{Row, Template};

/// What `--format` takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Columns for people.
    #[default]
    Table,
    /// One JSON document.
    Json,
    /// One YAML document.
    Yaml,
    /// A line for each object.
    Template(Template),
}

impl std::str::FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Format, String> {
        match text {
            "table" => Ok(Format::Table),
            "json" => Ok(Format::Json),
            "yaml" => Ok(Format::Yaml),
            text if text.contains("{{") => Template::parse(text).map(Format::Template),
            _ => Err("table, json, yaml or a template as '{{.ID}}' is meant".to_owned()),
        }
    }
}

/// Rows under headings, padded as docker does: three spaces between columns.
#[derive(Clone, Debug, Default)]
pub struct Table {
    headings: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table.
    #[must_use]
    pub fn new(headings: &[&str]) -> Table {
        Table { headings: headings.iter().map(|&h| h.to_owned()).collect(), rows: Vec::new() }
    }

    /// Adds a row; it has as many cells as there are headings.
    pub fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// The text, ending in a line feed.
    #[must_use]
    pub fn render(&self) -> String {
        let columns = self.headings.len();
        let mut widths: Vec<usize> = self.headings.iter().map(|h| h.chars().count()).collect();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let mut text = String::new();
        let mut line = |cells: &mut dyn Iterator<Item = &str>| {
            for (i, (cell, width)) in cells.zip(&widths).enumerate() {
                if i + 1 == columns {
                    let _ = write!(text, "{cell}");
                } else {
                    let _ = write!(text, "{cell:<width$}   ");
                }
            }
            text.truncate(text.trim_end_matches(' ').len());
            text.push('\n');
        };
        line(&mut self.headings.iter().map(String::as_str));
        for row in &self.rows {
            line(&mut row.iter().map(String::as_str));
        }
        text
    }
}

/// Objects in a format; `table` has a row for each, or is empty where there is no table.
///
/// # Errors
/// When a template asks for a field that is not there.
pub fn printed<T: Serialize>(
    format: &Format,
    objects: &[T],
    table: &Table,
) -> anyhow::Result<String> {
    let template = match format {
        Format::Table => return Ok(table.render()),
        Format::Json => return Ok(serde_json::to_string_pretty(objects)? + "\n"),
        Format::Yaml => return Ok(serde_yaml::to_string(objects)?),
        Format::Template(template) => template,
    };
    let mut lines = Vec::with_capacity(objects.len());
    for (i, object) in objects.iter().enumerate() {
        let object = serde_json::to_value(object)?;
        let cells = table.rows.get(i).map_or(&[][..], Vec::as_slice);
        let row = Row { headings: &table.headings, cells, object: &object };
        lines.push(template.line(&row)?);
    }
    if template.is_table {
        let headings = template.headings();
        let mut table = Table::new(&headings.split('\t').collect::<Vec<_>>());
        for line in lines {
            table.row(line.split('\t').map(str::to_owned).collect());
        }
        return Ok(table.render());
    }
    Ok(lines.into_iter().map(|line| line + "\n").collect())
}

/// Writes to standard output. A reader that has gone (`| head`) ends the program quietly.
///
/// # Errors
/// When it cannot be written for another reason.
pub fn print(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(0),
        outcome => Ok(outcome?),
    }
}

/// `running` as `Running`.
#[must_use]
pub fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// The first twelve characters of an id, as docker shortens it.
#[must_use]
pub fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(&["ID", "NAME", "X"]);
        table.row(vec!["1".into(), "a long name".into(), String::new()]);
        table.row(vec!["23".into(), "b".into(), "y".into()]);
        assert_eq!(
            table.render(),
            "ID   NAME          X\n1    a long name\n23   b             y\n"
        );
    }
}
