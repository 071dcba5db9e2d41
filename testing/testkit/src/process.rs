//! Processes: starting programs, and looking at a server's children through `/proc`.

use std::{
    ffi::OsStr,
    fs,
    os::unix::process::CommandExt as _,
    process::{Child, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::{DataFolder, Log};

/// A program to start.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the harness runs the product and its clients from outside")]
pub fn command(program: impl AsRef<OsStr>) -> Command {
    Command::new(program)
}

/// A program that runs in the background, with all it starts; dropping this ends them all.
#[derive(Debug)]
pub struct Background {
    child: Child,
    log: Log,
    _folder: DataFolder,
}

impl Background {
    /// Starts a program in a process group of its own; `folder` is kept while it runs and holds a copy of its output.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    pub fn start(mut command: Command, folder: DataFolder) -> Self {
        command.process_group(0).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("start {}: {error}", command.get_program().display()));
        let log = Log::default();
        let copy = folder.path().join("output.log");
        log.follow(child.stdout.take().expect("stdout is a pipe"), &copy);
        log.follow(child.stderr.take().expect("stderr is a pipe"), &copy);
        Self { child, log, _folder: folder }
    }

    /// What it printed.
    #[must_use]
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // A group that has ended already is no error.
        let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        let _ = self.child.wait();
    }
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

/// The resident memory of a process, in bytes; `None` when it has ended.
#[must_use]
pub fn resident_bytes(pid: u32) -> Option<u64> {
    status_bytes(pid, "VmRSS:")
}

/// The resident memory of a process that no file backs: heaps and stacks, without the pages of the program; `None` when it
/// has ended.
#[must_use]
pub fn anonymous_bytes(pid: u32) -> Option<u64> {
    status_bytes(pid, "RssAnon:")
}

fn status_bytes(pid: u32, field: &str) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let kibibytes =
        text.lines().find_map(|line| line.strip_prefix(field)?.split_whitespace().next()?.parse().ok());
    kibibytes.map(|count: u64| count * 1024)
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
