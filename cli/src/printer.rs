//! All output of the commands: data to standard output, everything else to standard error. Colour only supports what the
//! words say, and only on a terminal.

use std::{
    fmt::Display,
    io::{IsTerminal, Write},
};

use crate::failure::Failure;

/// Writes a line of data.
pub(crate) fn line(text: impl Display) {
    // A reader that has gone away (`skerry urls | head -1`) is no reason to fail.
    writeln!(std::io::stdout(), "{text}").ok();
}

/// Writes a line for the person at the terminal.
pub(crate) fn note(text: impl Display) {
    writeln!(std::io::stderr(), "{text}").ok();
}

/// Advice, on a line of its own.
pub(crate) fn hint(text: impl Display) {
    note(format_args!("{} {text}", paint("hint:", "36", std::io::stderr().is_terminal())));
}

/// Why a command failed.
pub(crate) fn failure(failure: &Failure) {
    note(format_args!("{} {}", paint("error:", "1;31", std::io::stderr().is_terminal()), failure.message));
    if let Some(advice) = &failure.hint {
        hint(advice);
    }
}

/// Text for standard output in bold, on a terminal.
pub(crate) fn bold(text: impl Display) -> String {
    paint(&text.to_string(), "1", std::io::stdout().is_terminal())
}

fn paint(text: &str, style: &str, is_terminal: bool) -> String {
    if is_terminal && !settings::Environment::read().no_color {
        format!("\u{1b}[{style}m{text}\u{1b}[0m")
    } else {
        text.to_owned()
    }
}

/// Columns as wide as their widest cell, without trailing blanks.
pub(crate) fn table(rows: &[Vec<String>]) {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width =
        |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or_default()).collect();
    for row in rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        line(cells.collect::<Vec<_>>().join("  ").trim_end());
    }
}
