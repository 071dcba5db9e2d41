//! `skerry kv export` and `import`: a namespace as text, and back.

use http::{Method, header};
use serde_json::{Value, json};
use testkit::{DataFolder, Server, send};

use crate::terminal::{assert_says, type_words};

struct Namespace<'a> {
    server: &'a Server,
    path: String,
}

impl<'a> Namespace<'a> {
    async fn new(server: &'a Server, title: &str) -> Self {
        let path = "/accounts/{account}/storage/kv/namespaces";
        let made = server.api(Method::POST, path, Some(&json!({ "title": title }))).await.expect(200).json();
        Self { server, path: format!("{path}/{}", made["result"]["id"].as_str().expect("an id")) }
    }

    async fn put(&self, key: &str, query: &str, value: Vec<u8>) {
        let request = self.server.api_request(Method::PUT, &format!("{}/values/{key}{query}", self.path));
        let request = request.header(header::CONTENT_TYPE, "application/octet-stream");
        let answer = send(self.server.api_address(), request.body(value.into()).expect("a valid path")).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }

    async fn get(&self, key: &str) -> Vec<u8> {
        let path = format!("{}/values/{key}", self.path);
        self.server.api(Method::GET, &path, None).await.expect(200).body.to_vec()
    }

    async fn keys(&self) -> Value {
        let path = format!("{}/keys", self.path);
        self.server.api(Method::GET, &path, None).await.expect(200).json()["result"].take()
    }
}

#[tokio::test]
async fn an_export_is_imported_as_it_was_and_may_be_imported_again() {
    let server = Server::start().await;
    let folder = server.folder();
    let source = Namespace::new(&server, "source").await;
    let large: Vec<u8> = (0..3_000_000_u32).map(|index| u8::try_from(index % 251).unwrap()).collect();
    source.put("a%2Fb%20c", "?expiration=4000000000", b"text\nof \"two\" lines".to_vec()).await;
    source.put("binary", "", vec![0, 255, 254]).await;
    source.put("large", "", large.clone()).await;
    let pairs: Vec<_> = (0..1_200)
        .map(|index| json!({ "key": format!("many-{index:04}"), "value": "v", "metadata": { "z": 1, "a": index } }))
        .collect();
    let bulk = format!("{}/bulk", source.path);
    let _ = server.api(Method::PUT, &bulk, Some(&json!(pairs))).await.expect(200);

    let exported = type_words("kv export source").data(folder.path()).run().await;
    assert_eq!((exported.code, exported.stderr.as_str()), (Some(0), "exported 1203 keys\n"));
    let lines: Vec<_> = exported.stdout.lines().collect();
    assert_eq!(lines.len(), 1_203);
    let first = r#"{"name":"a/b c","value":"text\nof \"two\" lines","expiration":4000000000}"#;
    assert_eq!(lines[0], first);
    assert_eq!(lines[1], r#"{"name":"binary","value":"AP/+","base64":true}"#);
    assert_eq!(lines[3], r#"{"name":"many-0000","value":"v","metadata":{"a":0,"z":1}}"#);

    let file = DataFolder::new();
    let path = file.path().join("keys.ndjson");
    std::fs::write(&path, &exported.stdout).expect("write the export");
    let target = Namespace::new(&server, "target").await;
    let import = format!("kv import target {}", path.display());
    for _ in 0..2 {
        let imported = type_words(&import).data(folder.path()).run().await;
        assert_eq!((imported.code, imported.stderr.as_str()), (Some(0), "imported 1203 keys\n"));
    }
    assert_eq!(target.keys().await, source.keys().await, "names, metadata and expiry");
    assert_eq!(target.get("a%2Fb%20c").await, b"text\nof \"two\" lines");
    assert_eq!(target.get("binary").await, [0, 255, 254]);
    assert!(target.get("large").await == large);
    server.stop().await;
}

#[tokio::test]
async fn an_import_says_which_line_is_wrong_and_leaves_out_what_has_expired() {
    let server = Server::start().await;
    let folder = server.folder();
    let target = Namespace::new(&server, "target").await;
    let file = DataFolder::new();
    let path = file.path().join("keys.ndjson");
    let import = format!("kv import target {}", path.display());

    let good = r#"{"name":"good","value":"v"}"#;
    std::fs::write(&path, format!("{good}\n\n{{\"name\":\"old\",\"value\":\"v\",\"expiration\":1}}\n"))
        .unwrap();
    let imported = type_words(&import).data(folder.path()).run().await;
    assert_eq!(imported.code, Some(0), "{imported:?}");
    assert_says(&imported.stderr, &["imported 1 keys", "left out 1 keys that have expired"]);
    assert_eq!(target.keys().await, json!([{ "name": "good" }]));

    std::fs::write(&path, format!("{good}\n{{\"name\":\"half\"\n")).unwrap();
    let error = type_words(&import).data(folder.path()).refused().await;
    assert_says(&error, &["keys.ndjson line 2", "hint: each line is one object"]);
    std::fs::write(&path, format!("{good}\n{{\"name\":\"..\",\"value\":\"v\"}}\n")).unwrap();
    let error = type_words(&import).data(folder.path()).refused().await;
    assert_says(&error, &["the lines from 1 on, 2 in all", "Illegal key name", "hint: the 0 keys before"]);

    let error = type_words("kv export nowhere").data(folder.path()).refused().await;
    assert_says(&error, &["no KV namespace has the title or id `nowhere`", "hint: "]);
    let error = type_words("kv import target none.ndjson").data(folder.path()).refused().await;
    assert_says(&error, &["open none.ndjson"]);
    server.stop().await;
}
