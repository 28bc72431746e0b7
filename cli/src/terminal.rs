//! The user's terminal: its size, its raw mode for interactive commands, keys that it does not show.

use nix::sys::termios::{LocalFlags, SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};
use terminal_size::{Height, Width, terminal_size_of};

/// Rows and columns of the terminal on standard error, else of that on standard output; none when
/// neither is one.
#[must_use]
pub fn size() -> Option<(u16, u16)> {
    let (Width(columns), Height(rows)) =
        terminal_size_of(std::io::stderr()).or_else(|| terminal_size_of(std::io::stdout()))?;
    Some((rows, columns))
}

/// The terminal on standard input hands every key on as it is pressed; given back when dropped.
pub struct Raw(Termios);

impl Raw {
    /// None where standard input is no terminal.
    #[must_use]
    pub fn enter() -> Option<Raw> {
        let before = tcgetattr(std::io::stdin()).ok()?;
        let mut raw = before.clone();
        cfmakeraw(&mut raw);
        tcsetattr(std::io::stdin(), SetArg::TCSANOW, &raw).ok()?;
        Some(Raw(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // A terminal that has gone needs nothing back.
        let _ = tcsetattr(std::io::stdin(), SetArg::TCSANOW, &self.0);
    }
}

/// The terminal on standard input shows nothing of what is typed; given back when dropped.
pub struct Hidden(Termios);

impl Hidden {
    /// None where standard input is no terminal.
    #[must_use]
    pub fn enter() -> Option<Hidden> {
        let before = tcgetattr(std::io::stdin()).ok()?;
        let mut hidden = before.clone();
        hidden.local_flags.remove(LocalFlags::ECHO);
        tcsetattr(std::io::stdin(), SetArg::TCSANOW, &hidden).ok()?;
        Some(Hidden(before))
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        // A terminal that has gone needs nothing back.
        let _ = tcsetattr(std::io::stdin(), SetArg::TCSANOW, &self.0);
    }
}
