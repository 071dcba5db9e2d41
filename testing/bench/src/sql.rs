//! D1's room over its own socket, without workerd, and the loop around rusqlite that it is held against: the same statements
//! on the same rows with the same sync.

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context as _, ensure};
use axum::body::Body;
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use product::House;
use serde_json::{Value, json};
use store::rusqlite::{Connection as Sqlite, params};
use testkit::DataFolder;
use tokio::net::UnixListener;
use tower::ServiceExt as _;

use crate::{
    load::now,
    room::{self, Connection, READERS},
};

/// Rows of the table that is read.
const ROWS: usize = 10_000;

/// Rows of one answer.
const ROWS_READ: usize = 100;

/// Statements of one batch.
const BATCH: usize = 50;

const SCHEMA: &str = "CREATE TABLE user (id INTEGER PRIMARY KEY, name TEXT, age INTEGER);
    CREATE TABLE log (id INTEGER PRIMARY KEY, name TEXT, age INTEGER)";
const SELECT: &str = "SELECT id, name, age FROM user WHERE id > ? ORDER BY id LIMIT 100";
const INSERT: &str = "INSERT INTO log (name, age) VALUES (?, ?)";

/// The name in each row.
fn name() -> String {
    "n".repeat(100)
}

/// D1 behind a socket; its tasks end with the process.
pub(crate) struct Room {
    socket: PathBuf,
    house: House,
    d1: d1::D1,
    database: Arc<str>,
    _folder: DataFolder,
}

impl Room {
    /// Opens D1 in a folder of its own with a database, filled with the rows.
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let folder = DataFolder::new();
        let house = room::house(&folder)?;
        let time_travel =
            d1::TimeTravel { keep: Duration::from_secs(30 * 24 * 3600), bytes_max: 10_000_000_000 };
        let d1 = d1::open(&house, time_travel)?;
        let database = create(&d1, &house, "bench").await?;
        let door = d1.product.binding.clone().context("D1 has no binding door")?;
        let socket = folder.path().join("d1.socket");
        room::serve(
            UnixListener::bind(&socket).context("listen")?,
            door,
            Arc::clone(&database),
            &house.tasks,
        );
        let room = Self { socket, house, d1, database, _folder: folder };
        let fill = format!(
            "INSERT INTO user (name, age) WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ROWS})
             SELECT '{}', i FROM n",
            name()
        );
        let statements: Vec<_> =
            SCHEMA.split(';').chain([fill.as_str()]).map(|sql| json!({ "sql": sql })).collect();
        let answer = Connection::open(&room.socket).await?.exchange(query(&json!(statements))).await?;
        ensure!(answer.starts_with(b"["), "filling was answered {}", String::from_utf8_lossy(&answer));
        Ok(room)
    }

    /// Selects of a hundred rows a second.
    pub(crate) async fn selects(&self, duration: Duration) -> anyhow::Result<f64> {
        let begun = now();
        let next = move |number: usize| {
            let first = number * ROWS_READ % (ROWS - ROWS_READ);
            (begun.elapsed() < duration).then(|| query(&json!({ "sql": SELECT, "params": [first] })))
        };
        Ok(room::load(&self.socket, READERS, next).await?.rate)
    }

    /// Batches of fifty inserts a second, by as many writers as the loop puts under one sync.
    pub(crate) async fn batches(&self, duration: Duration) -> anyhow::Result<f64> {
        let begun = now();
        let statements = vec![json!({ "sql": INSERT, "params": [name(), 7] }); BATCH];
        let body = Bytes::from(json!(statements).to_string());
        let next = move |_| (begun.elapsed() < duration).then(|| request(body.clone()));
        Ok(room::load(&self.socket, READERS, next).await?.rate)
    }

    /// Milliseconds until a database that is closed has answered its first statement; the median.
    pub(crate) async fn cold_open_ms(&self, times: usize) -> anyhow::Result<f64> {
        let mut connection = Connection::open(&self.socket).await?;
        let mut took = Vec::new();
        for _ in 0..times {
            self.d1.databases.close().await;
            let asked = now();
            connection.exchange(query(&json!({ "sql": SELECT, "params": [0] }))).await?;
            took.push(asked.elapsed().as_secs_f64() * 1000.0);
        }
        Ok(crate::report::median(took))
    }
}

impl std::fmt::Debug for Room {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Room")
            .field("database", &self.database)
            .field("house", &self.house.data)
            .finish()
    }
}

async fn create(d1: &d1::D1, house: &House, name: &str) -> anyhow::Result<Arc<str>> {
    let request = Request::post(format!("/accounts/{}/d1/database", house.account));
    let request = request.header("content-type", "application/json");
    let request = request.body(Body::from(json!({ "name": name }).to_string()))?;
    let answer = d1.product.rest.clone().oneshot(request).await?.into_body().collect().await?.to_bytes();
    let answer: Value = serde_json::from_slice(&answer).context("parse the API's answer")?;
    Ok(answer["result"]["uuid"].as_str().with_context(|| format!("no database in {answer}"))?.into())
}

fn query(body: &Value) -> Request<Full<Bytes>> {
    request(body.to_string().into())
}

fn request(body: Bytes) -> Request<Full<Bytes>> {
    let request = Request::post("/query?resultsFormat=ROWS_AND_COLUMNS");
    request.body(Full::new(body)).expect("a valid path")
}

/// The same tables without anybody else.
#[derive(Debug)]
pub(crate) struct Bare {
    connection: Sqlite,
    _folder: DataFolder,
}

impl Bare {
    pub(crate) fn start() -> anyhow::Result<Self> {
        let folder = DataFolder::new();
        let connection = Sqlite::open(folder.path().join("bare.sqlite")).context("open a database")?;
        connection.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;")?;
        connection.execute_batch(SCHEMA)?;
        let transaction = connection.unchecked_transaction()?;
        for number in 0..ROWS {
            let mut insert = transaction.prepare_cached("INSERT INTO user (name, age) VALUES (?1, ?2)")?;
            insert.execute(params![name(), number])?;
        }
        transaction.commit().context("commit")?;
        Ok(Self { connection, _folder: folder })
    }

    /// Selects of a hundred rows a second.
    pub(crate) fn selects(&self, duration: Duration) -> anyhow::Result<f64> {
        let (begun, mut reads) = (now(), 0);
        while begun.elapsed() < duration {
            let mut select = self.connection.prepare_cached(SELECT)?;
            let mut rows = select.query([reads * ROWS_READ % (ROWS - ROWS_READ)])?;
            let mut count = 0;
            while let Some(row) = rows.next()? {
                let _: (i64, String, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
                count += 1;
            }
            ensure!(count == ROWS_READ, "{count} rows were read");
            reads += 1;
        }
        Ok(reads as f64 / begun.elapsed().as_secs_f64())
    }

    /// Batches of fifty inserts a second: each a commit, and a sync of the log for as many as there are writers on the other
    /// side.
    pub(crate) fn batches(&self, duration: Duration) -> anyhow::Result<f64> {
        let (begun, mut batches, name) = (now(), 0, name());
        let path = self.connection.path().context("a database in a file has a path")?;
        let log = std::fs::File::open(format!("{path}-wal")).context("open the log")?;
        while begun.elapsed() < duration {
            for _ in 0..READERS {
                let transaction = self.connection.unchecked_transaction()?;
                for _ in 0..BATCH {
                    transaction.prepare_cached(INSERT)?.execute(params![name, 7])?;
                }
                transaction.commit().context("commit")?;
            }
            log.sync_data().context("sync the log")?;
            batches += READERS;
        }
        Ok(batches as f64 / begun.elapsed().as_secs_f64())
    }
}
