//! D1's databases as several tests call them through the v4 API. Whatever may find the server gone answers `None` then.

use std::{fs, path::PathBuf};

use bytes::Bytes;
use http::{Method, Request, header};
use http_body_util::Full;
use md5::{Digest as _, Md5};
use serde_json::{Value, json};
use testkit::{Answer, Server};

use crate::support::Client;

/// Calls a path below the account's databases.
pub(crate) async fn call(server: &Server, method: Method, path: &str, body: Value) -> Option<Answer> {
    let request = server.api_request(method, &format!("/accounts/{{account}}/d1/database/{path}"));
    let request = request.header(header::CONTENT_TYPE, "application/json");
    let request = request.body(Full::new(Bytes::from(body.to_string()))).expect("a valid path");
    Client::open(server.api_address()).await.send(request).await
}

/// The result of a call that succeeds if the server is there.
pub(crate) async fn ask(server: &Server, method: Method, path: &str, body: Value) -> Option<Value> {
    Some(call(server, method, path, body).await?.expect(200).json()["result"].clone())
}

/// Makes a database; returns its folder.
pub(crate) async fn make(server: &Server, name: &str) -> PathBuf {
    let path = "/accounts/{account}/d1/database";
    let made = server.api(Method::POST, path, Some(&json!({ "name": name }))).await.expect(200).json();
    let id = made["result"]["uuid"].as_str().expect("a database has an id").to_owned();
    server.folder().path().join("d1").join(id)
}

pub(crate) async fn try_query(server: &Server, name: &str, sql: &str) -> Option<Answer> {
    call(server, Method::POST, &format!("{name}/query"), json!({ "sql": sql })).await
}

/// The results of SQL that must succeed, one for each statement.
pub(crate) async fn query(server: &Server, name: &str, sql: &str) -> Value {
    let answer = try_query(server, name, sql).await.expect("the server runs");
    answer.expect(200).json()["result"].clone()
}

/// The rows of its first statement.
pub(crate) async fn rows(server: &Server, name: &str, sql: &str) -> Value {
    query(server, name, sql).await[0]["results"].clone()
}

/// The bookmark of the present.
pub(crate) async fn bookmark(server: &Server, name: &str) -> Option<String> {
    let now = ask(server, Method::GET, &format!("{name}/time_travel/bookmark"), Value::Null).await?;
    Some(now["bookmark"].as_str().expect("a bookmark").to_owned())
}

pub(crate) async fn restore(server: &Server, name: &str, bookmark: &str) -> Option<Answer> {
    let path = format!("{name}/time_travel/restore?bookmark={bookmark}");
    call(server, Method::POST, &path, Value::Null).await
}

/// Uploads a file to be imported; returns what was answered, and how the file is called.
pub(crate) async fn upload(server: &Server, name: &str, sql: &str) -> Option<(Answer, String)> {
    let path = format!("{name}/import");
    let init = ask(server, Method::POST, &path, json!({"action": "init", "etag": etag(sql)})).await?;
    let url = init["upload_url"].as_str().expect("where to upload");
    let secret = url.split_once("/signed/").expect("an address of ours").1;
    let upload = Request::put(format!("/signed/{secret}")).header(header::HOST, server.api_address());
    let upload = upload.body(Full::new(Bytes::from(sql.to_owned()))).expect("a request");
    let uploaded = Client::open(server.api_address()).await.send(upload).await?;
    Some((uploaded, init["filename"].as_str().expect("a name").to_owned()))
}

/// Imports a file; what the last poll told.
pub(crate) async fn import(server: &Server, name: &str, sql: &str) -> Option<Value> {
    let (uploaded, filename) = upload(server, name, sql).await?;
    let _ = uploaded.expect(200);
    let ingest = json!({"action": "ingest", "etag": etag(sql), "filename": filename});
    poll(server, &format!("{name}/import"), ingest).await
}

/// Exports a database; what the last poll told.
pub(crate) async fn export(server: &Server, name: &str) -> Option<Value> {
    poll(server, &format!("{name}/export"), json!({"output_format": "polling"})).await
}

/// Asks until what was begun has come to an end.
async fn poll(server: &Server, path: &str, mut body: Value) -> Option<Value> {
    loop {
        let told = ask(server, Method::POST, path, body.clone()).await?;
        if told["status"] != "active" {
            return Some(told);
        }
        body["action"] = "poll".into();
        body["current_bookmark"] = told["at_bookmark"].clone();
    }
}

/// Files of imports, exports, backups and restores.
pub(crate) fn transfers(server: &Server) -> usize {
    fs::read_dir(server.folder().path().join("d1/transfers")).expect("list the transfers").count()
}

fn etag(sql: &str) -> String {
    Md5::digest(sql).iter().map(|byte| format!("{byte:02x}")).collect()
}
