//! The real wrangler, in an environment of its own.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use crate::{Background, Clients, DataFolder, clients::search_path, command, wait_until};

/// How long one wrangler command may take: bundling on a busy machine included.
const COMMAND_LIMIT: Duration = Duration::from_secs(180);

/// Which wrangler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrangler {
    /// 4.86, the last line that runs on Node 20; run by the machine's Node.
    Old,
    /// 4.164, on Node 22.
    New,
}

impl Wrangler {
    /// Both, for tests that hold for both.
    pub const ALL: [Self; 2] = [Self::Old, Self::New];

    /// A command of this wrangler in the folder `project`, with the given variables and nothing else of the developer's
    /// environment but the search path.
    #[must_use]
    pub fn command(self, project: &Path, variables: &BTreeMap<String, String>) -> WranglerCommand {
        WranglerCommand {
            wrangler: self,
            project: project.to_owned(),
            variables: variables.clone(),
            arguments: Vec::new(),
            input: String::new(),
        }
    }

    fn program(self, clients: &Clients) -> (PathBuf, PathBuf) {
        let entry = |package: &str| clients.package(package).join("bin/wrangler.js");
        match self {
            Self::Old => ("node".into(), entry("wrangler-4-86")),
            Self::New => (clients.node(), entry("wrangler-4-164")),
        }
    }
}

/// A wrangler command that has not run yet.
#[derive(Debug, Clone)]
pub struct WranglerCommand {
    wrangler: Wrangler,
    project: PathBuf,
    variables: BTreeMap<String, String>,
    arguments: Vec<String>,
    input: String,
}

/// What a wrangler command printed and how it ended.
#[derive(Debug, Clone)]
pub struct Finished {
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
    /// Its exit code; `None` if a signal ended it.
    pub code: Option<i32>,
}

impl WranglerCommand {
    /// Adds arguments.
    #[must_use]
    pub fn args<T: Into<String>>(mut self, arguments: impl IntoIterator<Item = T>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Sets a variable of its environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Gives it standard input, for example a secret's value.
    #[must_use]
    pub fn input(mut self, text: &str) -> Self {
        text.clone_into(&mut self.input);
        self
    }

    /// Runs it, however it ends.
    ///
    /// # Panics
    /// If it cannot be started or does not end.
    pub async fn run(self) -> Finished {
        let title = self.title();
        let home = DataFolder::new();
        let (stdout, stderr) = (home.path().join("stdout"), home.path().join("stderr"));
        let create = |path: &Path| File::create(path).expect("create a file for wrangler's output");
        let mut child = self
            .command(home.path())
            .stdout(Stdio::from(create(&stdout)))
            .stderr(Stdio::from(create(&stderr)))
            .spawn()
            .unwrap_or_else(|error| panic!("start {title}: {error}"));
        let mut status = None;
        wait_until(&title, COMMAND_LIMIT, || {
            status = child.try_wait().expect("look after wrangler");
            status.is_some()
        })
        .await;
        let read = |path: &Path| String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned();
        Finished {
            stdout: read(&stdout),
            stderr: read(&stderr),
            code: status.and_then(|status| status.code()),
        }
    }

    /// Starts a command that runs until it is dropped, such as `dev`.
    #[must_use]
    pub fn start(self) -> Background {
        let home = DataFolder::new();
        let command = self.command(home.path());
        Background::start(command, home)
    }

    fn title(&self) -> String {
        format!("{:?} wrangler {}", self.wrangler, self.arguments.join(" "))
    }

    /// Its home is its own: no login, no cache and no telemetry identity of the developer's.
    fn command(&self, home: &Path) -> Command {
        let input = home.join("stdin");
        fs::write(&input, &self.input).expect("write wrangler's input");
        let (node, script) = self.wrangler.program(&Clients::find());
        let mut command = command(node);
        command
            .arg(script)
            .args(&self.arguments)
            .current_dir(&self.project)
            .env_clear()
            .env("PATH", search_path())
            .env("HOME", home)
            .envs([("CI", "1"), ("NO_COLOR", "1"), ("WRANGLER_SEND_METRICS", "false"), ("DO_NOT_TRACK", "1")])
            .envs([("WRANGLER_HIDE_BANNER", "true"), ("CLOUDFLARE_CF_FETCH_ENABLED", "false")])
            .envs(&self.variables)
            .stdin(Stdio::from(File::open(&input).expect("open wrangler's input")));
        command
    }

    /// Runs it and asserts that it succeeds.
    ///
    /// # Panics
    /// If it fails; the message holds all it printed.
    pub async fn succeed(self) -> Finished {
        let title = self.title();
        let finished = self.run().await;
        assert!(finished.code == Some(0), "{title} failed: {finished}");
        finished
    }

    /// Runs it and asserts that it fails.
    ///
    /// # Panics
    /// If it succeeds; the message holds all it printed.
    pub async fn fail(self) -> Finished {
        let title = self.title();
        let finished = self.run().await;
        assert!(finished.code != Some(0), "{title} should have failed: {finished}");
        finished
    }
}

impl Finished {
    /// Both streams, one after the other: wrangler divides its words between them differently in each version.
    #[must_use]
    pub fn all(&self) -> String {
        format!("{}\n{}", self.stdout, self.stderr)
    }
}

impl std::fmt::Display for Finished {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { stdout, stderr, code } = self;
        write!(formatter, "exit code {code:?}\n--- stdout\n{stdout}\n--- stderr\n{stderr}")
    }
}
