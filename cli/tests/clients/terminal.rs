//! `skerry` as typed in a terminal: an environment of its own, both streams, the exit code.

use std::{fs::File, path::Path, process::Stdio, time::Duration};

use testkit::{Clients, DataFolder, command, wait_until};

/// How long a command may take; `engine install` downloads the engine.
const COMMAND_LIMIT: Duration = Duration::from_secs(120);

/// A `skerry` command that has not run yet.
pub(crate) struct Typed {
    arguments: Vec<String>,
    variables: Vec<(&'static str, String)>,
    is_inheriting: bool,
}

/// What it printed and how it ended.
#[derive(Debug)]
pub(crate) struct Printed {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) code: Option<i32>,
}

/// `skerry` with words, which are split at blanks.
pub(crate) fn type_words(words: &str) -> Typed {
    let workerd = Clients::find().workerd().display().to_string();
    Typed {
        arguments: words.split_whitespace().map(str::to_owned).collect(),
        variables: vec![("SKERRY_WORKERD", workerd)],
        is_inheriting: false,
    }
}

impl Typed {
    /// Names the data folder.
    pub(crate) fn data(mut self, folder: &Path) -> Self {
        self.arguments.extend(["--data".to_owned(), folder.display().to_string()]);
        self
    }

    /// Adds an argument that may hold blanks.
    pub(crate) fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// Replaces its environment.
    pub(crate) fn only<const N: usize>(mut self, variables: [(&'static str, &str); N]) -> Self {
        self.variables = variables.map(|(name, value)| (name, value.to_owned())).to_vec();
        self
    }

    /// Gives it the developer's own environment: npm finds there how it reaches its registry.
    pub(crate) fn inheriting(mut self) -> Self {
        self.is_inheriting = true;
        self
    }

    /// Runs it to its end.
    pub(crate) async fn run(self) -> Printed {
        let home = DataFolder::new();
        let [stdout, stderr] = ["stdout", "stderr"].map(|name| home.path().join(name));
        let create = |path: &Path| Stdio::from(File::create(path).expect("create a file for the output"));
        let mut skerry = command(env!("CARGO_BIN_EXE_skerry"));
        if !self.is_inheriting {
            skerry.env_clear().env("HOME", home.path()).envs(self.variables);
        }
        let mut child = skerry
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(create(&stdout))
            .stderr(create(&stderr))
            .spawn()
            .expect("start skerry");
        let title = format!("skerry {}", self.arguments.join(" "));
        let mut status = None;
        wait_until(&title, COMMAND_LIMIT, || {
            status = child.try_wait().expect("look after skerry");
            status.is_some()
        })
        .await;
        let read = |path: &Path| std::fs::read_to_string(path).expect("the output is text");
        Printed {
            stdout: read(&stdout),
            stderr: read(&stderr),
            code: status.and_then(|status| status.code()),
        }
    }

    /// Runs it, asserts that it succeeds, and returns what it printed as data.
    pub(crate) async fn succeed(self) -> String {
        let printed = self.run().await;
        assert_eq!(printed.code, Some(0), "{printed:?}");
        printed.stdout
    }

    /// Runs it and asserts that it fails as explained failures do: an `error:` line, no data, exit code 1.
    pub(crate) async fn refused(self) -> String {
        let printed = self.run().await;
        assert_eq!(printed.code, Some(1), "{printed:?}");
        assert!(printed.stderr.contains("error: "), "{printed:?}");
        assert_eq!(printed.stdout, "", "a failure is no data");
        printed.stderr
    }
}

/// Asserts that a text holds all words.
#[track_caller]
pub(crate) fn assert_says(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "`{word}` is missing in:\n{text}");
    }
}
