//! The places where SQL is run: miniflare's D1 through its binding, and ours through two routes of the API.

use std::fmt;

use http::Method;
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::{Map, Value, json};
use testkit::{Answer, Server, send};

use crate::{
    case::{Ask, Case, Description, FileKind, SourceFile},
    reference::Reference,
};

/// What a statement answers: its rows, or an error's message.
pub(super) type Outcome = Result<Vec<Vec<Value>>, String>;

/// The Worker that runs statements on the reference.
const WORKER: &str = include_str!("reference.js");

/// Miniflare, with a database for each file.
pub(super) struct Miniflare {
    case: Case,
    address: String,
    _process: Reference,
}

impl Miniflare {
    pub(super) fn start(databases: &[String]) -> Self {
        let bindings: Map<_, _> = databases.iter().map(|name| (name.clone(), json!("d1"))).collect();
        let description: Description =
            serde_json::from_value(json!({ "bindings": bindings })).expect("a valid description");
        let file = SourceFile {
            name: "worker.js".into(),
            kind: FileKind::Script,
            content: WORKER.as_bytes().to_vec(),
        };
        let case = Case { name: "sqllogic/reference".into(), description, files: vec![file], owner: None };
        let mut process = Reference::start();
        let address = process.load(&case).expect("the reference takes the Worker");
        Self { case, address, _process: process }
    }

    pub(super) async fn run(&self, database: &str, sql: &str) -> Outcome {
        let ask = json!({ "method": "POST", "path": format!("/{database}"), "body": sql });
        let ask: Ask = serde_json::from_value(ask).expect("a valid request");
        let answer = send(&self.address, self.case.request(&ask)).await.expect(200).json();
        match answer["error"].as_str() {
            Some(error) => Err(error.to_owned()),
            None => Ok(serde_json::from_value(answer["rows"].clone()).expect("rows of values")),
        }
    }
}

/// A route of our API.
#[derive(Debug, Clone, Copy)]
pub(super) enum Route {
    /// Rows as objects.
    Query,
    /// Rows as arrays, and their columns.
    Raw,
}

impl Route {
    pub(super) const ALL: [Self; 2] = [Self::Query, Self::Raw];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Query => "query",
            Self::Raw => "raw",
        }
    }

    /// Makes the database that a file has at this route.
    pub(super) async fn create(self, server: &Server, file: &str) {
        let body = json!({ "name": self.database(file) });
        let path = "/accounts/{account}/d1/database";
        let _ = server.api(Method::POST, path, Some(&body)).await.expect(200);
    }

    pub(super) async fn run(self, server: &Server, file: &str, sql: &str) -> Outcome {
        let path = format!("/accounts/{{account}}/d1/database/{}/{}", self.database(file), self.name());
        let answer = server.api(Method::POST, &path, Some(&json!({ "sql": sql }))).await;
        if answer.status != 200 {
            return Err(answer.json()["errors"][0]["message"].as_str().unwrap_or_default().to_owned());
        }
        match self {
            Self::Query => read::<Vec<Row>>(&answer).map(|rows| rows.into_iter().map(|row| row.0).collect()),
            Self::Raw => read::<Table>(&answer).map(|table| table.rows),
        }
    }

    fn database(self, file: &str) -> String {
        format!("{file}-{}", self.name())
    }
}

/// The results of the only statement.
fn read<T: for<'de> Deserialize<'de>>(answer: &Answer) -> Result<T, String> {
    let envelope: Envelope<T> = serde_json::from_slice(&answer.body)
        .map_err(|error| format!("{error} in the answer {}", answer.text()))?;
    let [only] = envelope.result;
    Ok(only.results)
}

#[derive(Deserialize)]
struct Envelope<T> {
    result: [Results<T>; 1],
}

#[derive(Deserialize)]
struct Results<T> {
    results: T,
}

#[derive(Deserialize)]
struct Table {
    rows: Vec<Vec<Value>>,
}

/// An object's values in the order in which they were written: clients count on it.
struct Row(Vec<Value>);

impl<'de> Deserialize<'de> for Row {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OfObject;
        impl<'de> Visitor<'de> for OfObject {
            type Value = Row;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a row as an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Row, A::Error> {
                let mut values = Vec::new();
                while let Some((_, value)) = map.next_entry::<String, Value>()? {
                    values.push(value);
                }
                Ok(Row(values))
            }
        }
        deserializer.deserialize_map(OfObject)
    }
}
