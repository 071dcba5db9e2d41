//! Steps and what is printed of them: one line each with its time, the output only of those that fail. The one place of
//! xtask that prints, looks at the time or starts programs.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this is the printer of a command-line tool")]

use std::{
    io::{IsTerminal as _, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};

/// The top folder of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the top folder").to_owned()
}

/// A program to be started in the top folder.
#[expect(
    clippy::disallowed_methods,
    reason = "a developer tool starts cargo and npm; the ban is for the product"
)]
pub(crate) fn program(name: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(name);
    command.current_dir(root());
    command
}

/// `cargo` with arguments, in the top folder.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut command = program("cargo");
    command.args(arguments);
    command
}

/// Runs a program to its end without showing its output, unless it fails: then all of it.
pub(crate) fn quietly(title: &str, command: &mut Command) -> anyhow::Result<()> {
    timed(title, || {
        let output = command
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("start `{}`", command.get_program().display()))?;
        if output.status.success() {
            return Ok(());
        }
        let text =
            [String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)].concat();
        bail!("{}\n`{}` {}", text.trim_end(), shown(command), output.status);
    })
}

/// Runs a program to its end with its output on the terminal.
pub(crate) fn openly(title: &str, command: &mut Command) -> anyhow::Result<()> {
    println!("      … {title}");
    let begun = now();
    let status = command.status().with_context(|| format!("start `{}`", command.get_program().display()))?;
    if !status.success() {
        bail!("{title}: `{}` {status}", shown(command));
    }
    done(title, begun.elapsed());
    Ok(())
}

/// Runs a step of our own and prints one line when it ends.
pub(crate) fn timed<T>(title: &str, work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
    let is_watched = std::io::stdout().is_terminal();
    if is_watched {
        print!("      … {title}\r");
        // A terminal that has gone shows nothing; the step is done all the same.
        let _ = std::io::stdout().flush();
    }
    let begun = now();
    let outcome = work();
    match &outcome {
        Ok(_) => done(title, begun.elapsed()),
        Err(_) => println!(" failed {title}"),
    }
    outcome
}

/// A line for the person at the terminal.
pub(crate) fn say(line: &str) {
    println!("{line}");
}

/// What failed, to stderr.
pub(crate) fn complain(error: &anyhow::Error) {
    eprintln!("\nerror: {error:#}");
}

/// Waits a little: for a server that is coming up, or a process that is ending.
pub(crate) fn pause() {
    std::thread::sleep(Duration::from_millis(20));
}

/// When a wait of this length is over.
pub(crate) fn deadline(wait: Duration) -> impl Fn() -> bool {
    let begun = now();
    move || wait < begun.elapsed()
}

fn done(title: &str, elapsed: Duration) {
    println!("{:>6.1}s {title}", elapsed.as_secs_f64());
}

#[expect(clippy::disallowed_methods, reason = "how long a step took, for the person who waits")]
fn now() -> Instant {
    Instant::now()
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
