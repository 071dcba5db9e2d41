//! Processes: starting programs, and looking at a server's children through `/proc`.

use std::{ffi::OsStr, fs, process::Command};

/// A program to start.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the harness runs the product and its clients from outside")]
pub fn command(program: impl AsRef<OsStr>) -> Command {
    Command::new(program)
}

/// A process, told from a later one with the same number by its start time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// Its program's name, for example `workerd`.
    pub name: String,
    started: String,
}

impl Process {
    /// Whether it still runs; a zombie does not.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        look_at(self.pid).is_some_and(|(process, status)| process == *self && status.state != "Z")
    }
}

/// The living children of a process.
///
/// # Panics
/// Where there is no `/proc`.
#[must_use]
pub fn children_of(parent: u32) -> Vec<Process> {
    let entries = fs::read_dir("/proc").expect("list /proc");
    let numbers = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let is_child = |status: &Status| status.parent == parent.to_string() && status.state != "Z";
    numbers.filter_map(look_at).filter(|(_, status)| is_child(status)).map(|(process, _)| process).collect()
}

struct Status {
    state: String,
    parent: String,
}

/// Reads `/proc/<pid>/stat`: number, name in parentheses (which may itself hold spaces), state, parent, …, start time.
fn look_at(pid: u32) -> Option<(Process, Status)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (head, tail) = text.rsplit_once(')')?;
    let name = head.split_once('(')?.1.to_owned();
    let fields: Vec<_> = tail.split_whitespace().collect();
    let field = |index: usize| fields.get(index).map(|field| (*field).to_owned());
    let process = Process { pid, name, started: field(19)? };
    Some((process, Status { state: field(0)?, parent: field(1)? }))
}
