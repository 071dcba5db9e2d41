//! Deploying without wrangler, for tests that are about something else: one multipart upload through the v4 API.

use serde_json::{Value, json};

/// The compatibility date of scripts that do not say another.
const COMPATIBILITY_DATE: &str = "2026-11-01";

/// A script to upload.
#[derive(Debug, Clone)]
pub struct Script {
    /// Its name, and so the first label of its host.
    pub name: String,
    /// The upload's metadata: main module, bindings, compatibility date.
    pub metadata: Value,
    /// Its files.
    pub modules: Vec<Module>,
}

/// A file of a script.
#[derive(Debug, Clone)]
pub struct Module {
    /// Its name, as other modules import it.
    pub name: String,
    /// What it is, for example `application/javascript+module`.
    pub content_type: String,
    /// Its content.
    pub content: Vec<u8>,
}

impl Script {
    /// A script of one ES module.
    #[must_use]
    pub fn module(name: &str, source: &str) -> Self {
        let metadata = json!({
            "main_module": "worker.js",
            "compatibility_date": COMPATIBILITY_DATE,
            "bindings": [],
        });
        Self { name: name.to_owned(), metadata, modules: Vec::new() }.file(
            "worker.js",
            "application/javascript+module",
            source,
        )
    }

    /// Adds a file.
    #[must_use]
    pub fn file(mut self, name: &str, content_type: &str, content: impl AsRef<[u8]>) -> Self {
        let content = content.as_ref().to_vec();
        self.modules.push(Module { name: name.to_owned(), content_type: content_type.to_owned(), content });
        self
    }

    /// Adds a binding, as the v4 API describes it.
    ///
    /// # Panics
    /// If the metadata has no list of bindings.
    #[must_use]
    pub fn binding(mut self, binding: Value) -> Self {
        self.metadata["bindings"].as_array_mut().expect("metadata has a list of bindings").push(binding);
        self
    }

    /// The upload's content type and body.
    #[must_use]
    pub fn multipart(&self) -> (String, Vec<u8>) {
        let boundary = "----skerry-testkit-boundary";
        let mut body = Vec::new();
        let metadata = self.metadata.to_string();
        part(&mut body, boundary, "name=\"metadata\"", "application/json", metadata.as_bytes());
        for Module { name, content_type, content } in &self.modules {
            let disposition = format!("name=\"{name}\"; filename=\"{name}\"");
            part(&mut body, boundary, &disposition, content_type, content);
        }
        body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
        (format!("multipart/form-data; boundary={boundary}"), body)
    }
}

fn part(body: &mut Vec<u8>, boundary: &str, disposition: &str, content_type: &str, content: &[u8]) {
    let head = format!(
        "--{boundary}\r\nContent-Disposition: form-data; {disposition}\r\nContent-Type: {content_type}\r\n\r\n"
    );
    body.extend_from_slice(head.as_bytes());
    body.extend_from_slice(content);
    body.extend_from_slice(b"\r\n");
}
