//! Files of sqllogictest, `sqllogic/*.slt`: what they expect is what miniflare's D1 answers, and ours must answer the same.
#![expect(clippy::print_stdout, reason = "this is the report of a test program")]

mod doors;
mod file;

use std::{
    fs,
    path::{Path, PathBuf},
};

use testkit::Server;

use doors::{Miniflare, Outcome, Route};
use file::{Expected, Record};

/// What is done with the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SqlLogic {
    /// Both sides are held to them.
    Check,
    /// What the reference answers is written into them.
    Write,
}

impl SqlLogic {
    /// From a test program's arguments; those of others are passed over.
    #[must_use]
    pub fn from_arguments(mut arguments: impl Iterator<Item = String>) -> Self {
        if arguments.any(|argument| argument == "--write") { Self::Write } else { Self::Check }
    }

    /// Runs all files; whether each record got what it expects.
    pub async fn run(self) -> bool {
        let mut files = load_all();
        let names: Vec<_> = files.iter().map(|file| file.name.clone()).collect();
        let reference = Miniflare::start(&names);
        let mut problems = Vec::new();
        match self {
            Self::Write => {
                for file in &mut files {
                    problems.extend(file.complete(&reference).await);
                }
            }
            Self::Check => {
                let server = Server::start().await;
                for file in &files {
                    problems.extend(file.check(&reference, &server).await);
                }
                server.stop().await;
            }
        }
        problems.iter().for_each(|problem| println!("{problem}"));
        let records: usize = files.iter().map(|file| file.records.len()).sum();
        let outcome = if problems.is_empty() { "ok" } else { "FAILED" };
        println!("\ntest result: {outcome}. sqllogic: {records} records, {} problems\n", problems.len());
        problems.is_empty()
    }
}

struct File {
    /// Its name without the ending, and so its databases' name.
    name: String,
    path: PathBuf,
    records: Vec<Record>,
}

fn load_all() -> Vec<File> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("sqllogic");
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("list {}: {error}", folder.display()));
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("list the files").path()).collect();
    paths.sort();
    paths.into_iter().map(File::load).collect()
}

impl File {
    fn load(path: PathBuf) -> Self {
        let text =
            fs::read_to_string(&path).unwrap_or_else(|error| panic!("read {}: {error}", path.display()));
        let records = file::parse(&text).unwrap_or_else(|error| panic!("{}, {error}", path.display()));
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Self { name, path, records }
    }

    async fn check(&self, reference: &Miniflare, server: &Server) -> Vec<String> {
        for route in Route::ALL {
            route.create(server, &self.name).await;
        }
        let mut problems = Vec::new();
        for record in &self.records {
            let theirs = reference.run(&self.name, &record.sql).await;
            problems.extend(problem(record, &theirs).map(|problem| self.told(record, "miniflare", &problem)));
            for route in Route::ALL {
                let ours = route.run(server, &self.name, &record.sql).await;
                problems
                    .extend(problem(record, &ours).map(|problem| self.told(record, route.name(), &problem)));
            }
        }
        problems
    }

    async fn complete(&mut self, reference: &Miniflare) -> Vec<String> {
        let mut problems = Vec::new();
        for record in &mut self.records {
            let outcome = reference.run(&self.name, &record.sql).await;
            if let Err(problem) = complete(record, outcome) {
                problems.push(format!("{}.slt:{}: {problem}", self.name, record.line));
            }
        }
        fs::write(&self.path, file::write(&self.records)).expect("write a file of records");
        problems
    }

    fn told(&self, record: &Record, door: &str, problem: &str) -> String {
        format!("{}.slt:{}: {door}: {problem}", self.name, record.line)
    }
}

/// How an answer is not what its record expects.
fn problem(record: &Record, outcome: &Outcome) -> Option<String> {
    match (&record.expected, outcome) {
        (Expected::Success, Ok(_)) => None,
        (Expected::Failure(message), Err(error)) => {
            (!error.contains(message.as_str())).then(|| format!("failed with `{error}`, not `{message}`"))
        }
        (Expected::Failure(_), Ok(rows)) => Some(format!("should have failed, and answered {rows:?}")),
        (Expected::Success | Expected::Results { .. }, Err(error)) => Some(format!("failed with `{error}`")),
        (Expected::Results { types, sort, values }, Ok(rows)) => match file::values(types, *sort, rows) {
            Ok(found) if found == *values => None,
            Ok(found) => Some(format!("answered {found:?}, not {values:?}")),
            Err(error) => Some(error),
        },
    }
}

/// Makes what the reference answered what is expected.
fn complete(record: &mut Record, outcome: Outcome) -> Result<(), String> {
    match (&mut record.expected, outcome) {
        (Expected::Success, Ok(_)) => Ok(()),
        (Expected::Failure(message), Err(error)) => {
            // Fewer words that are still true were chosen by hand; an internal error has a number of its own each time.
            let is_true = !message.is_empty() && error.contains(message.as_str());
            if !is_true && !error.contains("internal error") {
                error.trim_start_matches("D1_ERROR: ").clone_into(message);
            }
            Ok(())
        }
        (Expected::Failure(_), Ok(_)) => Err("should have failed".into()),
        (Expected::Success | Expected::Results { .. }, Err(error)) => Err(error),
        (Expected::Results { types, sort, values }, Ok(rows)) => {
            *values = file::values(types, *sort, &rows)?;
            Ok(())
        }
    }
}
