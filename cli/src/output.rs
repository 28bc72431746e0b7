//! How answers are shown: docker's columns, JSON or YAML.

use std::fmt::Write as _;

use serde::Serialize;

/// What `--format` takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Columns for people.
    #[default]
    Table,
    /// One JSON document.
    Json,
    /// One YAML document.
    Yaml,
}

/// Rows under headings, padded as docker does: three spaces between columns.
#[derive(Clone, Debug, Default)]
pub struct Table {
    headings: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table.
    #[must_use]
    pub fn new(headings: &[&'static str]) -> Table {
        Table { headings: headings.to_vec(), rows: Vec::new() }
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
        line(&mut self.headings.iter().copied());
        for row in &self.rows {
            line(&mut row.iter().map(String::as_str));
        }
        text
    }
}

/// `value` as JSON or YAML, or `table` when that is asked for.
///
/// # Errors
/// When the value has no such form, which none of ours does.
pub fn render<T: Serialize>(
    format: Format,
    value: &T,
    table: impl FnOnce() -> String,
) -> anyhow::Result<String> {
    Ok(match format {
        Format::Table => table(),
        Format::Json => serde_json::to_string_pretty(value)? + "\n",
        Format::Yaml => serde_yaml::to_string(value)?,
    })
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
