//! Progress on standard error: redrawn lines on a terminal, a line for each change elsewhere.

use std::io::{IsTerminal as _, Write as _};

use anstyle::{AnsiColor, Style};

use super::failure::waiting;
use super::{Look, State};

/// Reasons under each service on a terminal.
const REASONS: usize = 3;

/// Width of the bar, cells.
const BAR: u64 = 20;

pub(super) struct Shown {
    kind: Kind,
    last: Vec<Look>,
    /// Lines that stand on the terminal.
    lines: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Terminal,
    Plain,
    Quiet,
}

impl Shown {
    pub(super) fn new(quiet: bool) -> Shown {
        let kind = match (quiet, std::io::stderr().is_terminal()) {
            (true, _) => Kind::Quiet,
            (false, true) => Kind::Terminal,
            (false, false) => Kind::Plain,
        };
        Shown { kind, last: Vec::new(), lines: Vec::new() }
    }

    pub(super) fn show(&mut self, looks: &[Look]) {
        match self.kind {
            Kind::Quiet => {}
            Kind::Terminal => self.redraw(looks),
            Kind::Plain => {
                for look in looks {
                    let old = self.last.iter().find(|l| l.progress.id == look.progress.id);
                    if old.is_none_or(|old| plain(old) != plain(look)) {
                        // A reader that went away is no reason to stop waiting.
                        let _ = writeln!(std::io::stderr(), "{}", plain(look));
                    }
                }
            }
        }
        self.last = looks.to_vec();
    }

    /// Leaves what stands there and goes on below it.
    pub(super) fn end(&mut self) {
        self.lines.clear();
    }

    fn redraw(&mut self, looks: &[Look]) {
        let (height, width) = size();
        let mut lines = Vec::new();
        let name = looks.iter().map(|l| l.progress.name.chars().count()).max().unwrap_or(0);
        // What converged is folded away when there is no room for all.
        let room = height.saturating_sub(2).max(1);
        let folded = looks.len() > room;
        for look in looks.iter().filter(|l| !folded || l.state != State::Converged).take(room) {
            lines.push(line(look, name));
        }
        for look in looks.iter().filter(|l| l.state == State::Waiting) {
            for task in look.progress.waiting.iter().take(REASONS) {
                if lines.len() < room {
                    lines.push(cut(&format!("    {}", waiting(task)), width));
                }
            }
        }
        if folded {
            let done = looks.iter().filter(|l| l.state == State::Converged).count();
            lines.push(format!("{done} of {} services have converged", looks.len()));
        }
        if lines == self.lines {
            return;
        }
        let mut err = anstream::stderr().lock();
        if !self.lines.is_empty() {
            let _ = write!(err, "\x1b[{}A", self.lines.len());
        }
        // Whatever stood below is gone, then the new lines.
        let _ = write!(err, "\r\x1b[J");
        for line in &lines {
            let _ = writeln!(err, "{line}");
        }
        self.lines = lines;
    }
}

/// `✓ web  ██████████  3/3  running`
fn line(look: &Look, name: usize) -> String {
    let progress = &look.progress;
    let (mark, colour) = match look.state {
        State::Converged => ("✓", AnsiColor::Green),
        State::Verifying => ("◷", AnsiColor::Green),
        State::Waiting => ("…", AnsiColor::Yellow),
        State::Failed => ("✗", AnsiColor::Red),
    };
    let style = Style::new().fg_color(Some(colour.into()));
    let full = (progress.done * BAR).checked_div(progress.wanted).unwrap_or(BAR).min(BAR);
    let cells = |n: u64, cell: &str| cell.repeat(usize::try_from(n).unwrap_or(0));
    let bar = cells(full, "█") + &cells(BAR - full, "░");
    format!(
        "{style}{mark}{style:#} {:<name$}  {style}{bar}{style:#}  {}/{}  {}",
        progress.name,
        progress.done,
        progress.wanted,
        words(look)
    )
}

fn plain(look: &Look) -> String {
    let Look { progress, .. } = look;
    let reason = match look.state {
        State::Waiting => progress.waiting.first().map(waiting),
        State::Verifying | State::Converged | State::Failed => None,
    };
    let reason = reason.map_or(String::new(), |reason| format!(" ({reason})"));
    format!("{}: {}/{} {}{reason}", progress.name, progress.done, progress.wanted, words(look))
}

fn words(look: &Look) -> &'static str {
    let update = look.progress.update.as_ref().map_or("", |u| u.state.as_str());
    let job = look.progress.is_job;
    match look.state {
        State::Converged if job => "completed",
        State::Converged => "converged",
        State::Verifying => "running, watched for a moment",
        State::Failed => "failed",
        State::Waiting if update.starts_with("rollback") => "rolling back",
        State::Waiting if look.progress.outdated > 0 => "replacing tasks",
        State::Waiting if look.progress.done == look.progress.wanted => "watching the new tasks",
        State::Waiting if job => "working",
        State::Waiting => "starting",
    }
}

/// Rows and columns of the terminal.
fn size() -> (usize, usize) {
    let size = crate::terminal::size().unwrap_or((24, 80));
    (usize::from(size.0), usize::from(size.1))
}

fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}
