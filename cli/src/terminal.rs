//! The user's terminal: its size, and its raw mode for interactive commands.

use terminal_size::{Height, Width, terminal_size_of};

/// Rows and columns of the terminal on standard error, else of that on standard output; none when
/// neither is one.
#[must_use]
pub fn size() -> Option<(u16, u16)> {
    let (Width(columns), Height(rows)) =
        terminal_size_of(std::io::stderr()).or_else(|| terminal_size_of(std::io::stdout()))?;
    Some((rows, columns))
}
