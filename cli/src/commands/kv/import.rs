//! `skerry kv import`: lines of an export become bulk writes. It may be run again: a key is then replaced by itself.

use std::{
    fs::File,
    io::{BufRead, BufReader, Read},
    path::Path,
};

use http::Method;

use super::record::{Pair, Record};
use crate::{api::Api, failure::Failure, printer};

/// Pairs of one bulk write; the API takes 10,000.
const PAIRS_MAX: usize = 1_000;

/// Bytes of values at which a bulk write is sent: the API takes 100 MB of JSON, and one value more may come upon these.
const BATCH_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Longest line: a value of 25 MiB with every byte escaped, and its key.
const LINE_BYTES_MAX: u64 = 160 * 1024 * 1024;

/// A key that lives no longer than this cannot be written any more.
const LIFE_S_MIN: u64 = 60;

/// Puts every line of `file`, or of standard input, into the namespace at `path`.
pub(super) async fn run(api: &Api, path: &str, file: Option<&Path>) -> Result<(), Failure> {
    let mut import = Import { api, path, batch: Vec::new(), batch_bytes: 0, first_line: 0, imported: 0 };
    let mut lines = Lines::open(file)?;
    let mut expired = 0_u64;
    while let Some((number, record)) = lines.next()? {
        if record.expiration.is_some_and(|expires_s| expires_s <= now_s() + LIFE_S_MIN) {
            expired += 1;
            continue;
        }
        import.push(number, record).await?;
    }
    import.send().await?;
    printer::note(format_args!("imported {} keys", import.imported));
    if 0 < expired {
        printer::note(format_args!("left out {expired} keys that have expired, or will within a minute"));
    }
    Ok(())
}

fn now_s() -> u64 {
    tasks::Clock::system().unix_secs()
}

/// Keys on their way to the server.
struct Import<'a> {
    api: &'a Api,
    path: &'a str,
    batch: Vec<Record>,
    batch_bytes: usize,
    /// The line of the batch's first record.
    first_line: u64,
    imported: usize,
}

impl Import<'_> {
    async fn push(&mut self, line: u64, record: Record) -> Result<(), Failure> {
        if self.batch.is_empty() {
            self.first_line = line;
        }
        self.batch_bytes += record.bytes();
        self.batch.push(record);
        if PAIRS_MAX <= self.batch.len() || BATCH_BYTES_MAX <= self.batch_bytes {
            self.send().await?;
        }
        Ok(())
    }

    async fn send(&mut self) -> Result<(), Failure> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let pairs: Vec<_> = self.batch.iter().map(Pair::from).collect();
        let body = serde_json::to_vec(&pairs).map_err(|error| Failure::doing("write a request", error))?;
        let path = format!("{}/bulk", self.path);
        self.api.ask(Method::PUT, &path, body.into()).await.map_err(|failure| {
            let from = format!("the lines from {} on, {} in all", self.first_line, self.batch.len());
            Failure::doing(from, failure.message)
                .hint(format!("the {} keys before are imported; the import may be run again", self.imported))
        })?;
        self.imported += self.batch.len();
        self.batch.clear();
        self.batch_bytes = 0;
        Ok(())
    }
}

/// The lines of an export, read one at a time.
struct Lines {
    input: Box<dyn BufRead>,
    name: String,
    number: u64,
    line: Vec<u8>,
}

impl Lines {
    fn open(file: Option<&Path>) -> Result<Self, Failure> {
        let (input, name): (Box<dyn BufRead>, _) = match file {
            None => (Box::new(std::io::stdin().lock()), "standard input".to_owned()),
            Some(path) => {
                let opened = File::open(path);
                let opened =
                    opened.map_err(|error| Failure::doing(format!("open {}", path.display()), error))?;
                (Box::new(BufReader::new(opened)), path.display().to_string())
            }
        };
        Ok(Self { input, name, number: 0, line: Vec::new() })
    }

    /// The next record and its line's number; empty lines are passed over.
    fn next(&mut self) -> Result<Option<(u64, Record)>, Failure> {
        loop {
            self.line.clear();
            self.number += 1;
            let read = self.input.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut self.line);
            match read.map_err(|error| Failure::doing(format!("read {}", self.name), error))? {
                0 => return Ok(None),
                _ if self.line.trim_ascii().is_empty() => {}
                _ => break,
            }
        }
        let record = serde_json::from_slice(&self.line).map_err(|error| {
            Failure::doing(format!("{} line {}", self.name, self.number), error)
                .hint("each line is one object with `name` and `value`, as `skerry kv export` prints them")
        })?;
        Ok(Some((self.number, record)))
    }
}
