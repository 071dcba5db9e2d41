//! What a server printed, line by line, and which of its complaints a test announced.

use std::{
    fs::File,
    io::{BufRead as _, BufReader, Read, Write as _},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::watch;

use crate::within;

/// A server's output so far, from both of its streams in the order of arrival.
#[derive(Debug, Clone, Default)]
pub struct Log(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    content: Mutex<Content>,
    /// How many lines there are: what a waiting test is woken by.
    count: watch::Sender<usize>,
}

#[derive(Debug, Default)]
struct Content {
    lines: Vec<String>,
    announced: Vec<String>,
}

impl Log {
    /// All lines so far.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.lock().lines.clone()
    }

    /// Announces complaints (WARN or ERROR lines) that contain `text`: they are part of the test.
    pub fn expect(&self, text: &str) {
        self.lock().announced.push(text.to_owned());
    }

    /// Waits for a line that contains `text` and returns it.
    ///
    /// # Panics
    /// If there is none within `limit`.
    pub async fn wait_for(&self, text: &str, limit: Duration) -> String {
        let mut count = self.0.count.subscribe();
        within(&format!("a log line with `{text}`"), limit, async {
            loop {
                if let Some(line) = self.lock().lines.iter().find(|line| line.contains(text)).cloned() {
                    return line;
                }
                count.changed().await.expect("the sender lives as long as the log");
            }
        })
        .await
    }

    /// The complaints that nobody announced.
    #[must_use]
    pub fn complaints(&self) -> Vec<String> {
        let content = self.lock();
        let is_announced = |line: &String| content.announced.iter().any(|text| line.contains(text));
        content.lines.iter().filter(|line| is_complaint(line) && !is_announced(line)).cloned().collect()
    }

    /// Asserts that the server had nothing to complain about beyond what was announced.
    ///
    /// # Panics
    /// If it had.
    pub fn assert_quiet(&self) {
        let complaints = self.complaints();
        assert!(complaints.is_empty(), "the server complained:\n{}", complaints.join("\n"));
    }

    /// Reads a stream to its end in a thread of its own, into memory and to the end of `copy`.
    pub(crate) fn follow(&self, stream: impl Read + Send + 'static, copy: &Path) {
        let log = self.clone();
        let mut copy =
            File::options().create(true).append(true).open(copy).expect("open the copy of the log");
        std::thread::spawn(move || {
            for line in BufReader::new(stream).lines() {
                let Ok(line) = line else { return };
                // A full disk must not stop the reading: the server would block on its output.
                let _ = writeln!(copy, "{line}");
                log.lock().lines.push(line);
                log.0.count.send_modify(|count| *count += 1);
            }
        });
    }

    fn lock(&self) -> MutexGuard<'_, Content> {
        self.0.content.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a line, JSON or human, has level WARN or ERROR. A panic is a complaint too.
fn is_complaint(line: &str) -> bool {
    if let Ok(serde_json::Value::Object(fields)) = serde_json::from_str(line) {
        return matches!(fields.get("level").and_then(|level| level.as_str()), Some("WARN" | "ERROR"));
    }
    let mut head = line.split_whitespace().take(3);
    head.any(|word| matches!(without_colour(word).as_str(), "WARN" | "ERROR")) || line.contains("panicked at")
}

fn without_colour(word: &str) -> String {
    let mut plain = String::new();
    let mut is_escape = false;
    for character in word.chars() {
        match character {
            '\u{1b}' => is_escape = true,
            'm' if is_escape => is_escape = false,
            _ if is_escape => {}
            _ => plain.push(character),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_are_told_from_other_lines() {
        for line in [
            r#"{"level":"WARN","message":"slow"}"#,
            "2026-11-21T06:00:00Z  WARN ingress: slow",
            "\u{1b}[2m06:00\u{1b}[0m \u{1b}[31mERROR\u{1b}[0m kv: broken",
            "thread 'main' panicked at src/main.rs:1:1:",
        ] {
            assert!(is_complaint(line), "{line}");
        }
        for line in [r#"{"level":"INFO","message":"WARN ERROR"}"#, "06:00 INFO ingress: no ERROR here", ""] {
            assert!(!is_complaint(line), "{line}");
        }
    }

    #[test]
    fn announced_complaints_are_not_held_against_the_server() {
        let log = Log::default();
        log.lock()
            .lines
            .extend(["12:00 WARN a: disk is slow".into(), "12:00 WARN b: clock went back".into()]);
        log.expect("disk is slow");
        assert_eq!(log.complaints(), ["12:00 WARN b: clock went back"]);
    }
}
