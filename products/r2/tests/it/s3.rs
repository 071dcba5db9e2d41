//! The S3 door against raw requests, signed here by the algorithm's definition and not by a library's: whatever is tampered
//! with, not allowed, cut off or absurd is refused in S3's words, and nothing of it is stored.

use std::{
    collections::HashMap,
    convert::Infallible,
    future::ready,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    http::{self, Request},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use futures_util::{StreamExt, future::BoxFuture, stream};
use model::{BucketDomain, BucketPlace, NewBucketDomain};
use proptest::{
    prop_assume,
    test_runner::{Config, TestRunner},
};
use r2::{AccessKey, AccessKeys, Domains};
use sha2::{Digest, Sha256};
use time::{OffsetDateTime, macros::format_description};
use tower::ServiceExt;
use v4::ApiError;

use crate::{Answer, MIB, Room, bytes, read};

const SECRET: &str = "a secret that only its holder knows";

const HOST: &str = "s3.localhost";

/// The hash of nothing, and of a body that is not hashed ahead.
pub(crate) const UNSIGNED: &str = "UNSIGNED-PAYLOAD";
const CHUNKS: &str = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD";
const TRAILER: &str = "STREAMING-UNSIGNED-PAYLOAD-TRAILER";

/// Who may do what, until a test says otherwise.
#[derive(Default)]
struct Keys(Mutex<HashMap<String, AccessKey>>);

impl Keys {
    fn allow(&self, id: &str, can_read: bool, can_write: bool) {
        let key = AccessKey { secret: SECRET.to_owned(), can_read, can_write };
        self.0.lock().unwrap().insert(id.to_owned(), key);
    }
}

impl AccessKeys for Keys {
    fn find(&self, id: &str) -> Option<AccessKey> {
        self.0.lock().unwrap().get(id).cloned()
    }
}

/// A room with its S3 door, and an object `key` that no refused request may touch.
pub(crate) struct Door {
    pub(crate) room: Room,
    keys: Arc<Keys>,
    router: Router,
}

impl Door {
    pub(crate) async fn new() -> Self {
        let room = Room::new().await;
        let keys = Arc::new(Keys::default());
        keys.allow("writer", true, true);
        keys.allow("reader", true, false);
        let router = room.r2.buckets.s3(Arc::clone(&keys) as Arc<dyn AccessKeys>, "localhost");
        assert_eq!(room.put("key", b"old").await.code(), None);
        Self { room, keys, router }
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        read(self.router.clone().oneshot(request).await.unwrap()).await
    }

    /// Asserts that a request is refused, and that nothing came of it.
    async fn refuse(&self, what: &str, request: Request<Body>, expected: (u16, &str)) {
        let answer = self.send(request).await;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        let code = text.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>"));
        let code = code.map_or("", |(code, _)| code);
        assert_eq!((answer.status.as_u16(), code), expected, "{what}: {text}");
        assert_eq!(self.room.get("key").await.value(), b"old", "{what}");
        let listed = self.room.ask(&serde_json::json!({"method": "list"})).await.described();
        assert_eq!(listed["objects"].as_array().unwrap().len(), 1, "{what}");
        assert!(self.room.files().is_empty(), "{what}");
    }
}

/// A request that is about to be signed.
pub(crate) struct Call {
    method: &'static str,
    /// Escaped as signatures have it; a query is in the order of its names.
    path: String,
    query: String,
    id: &'static str,
    /// Of the scope; the day is that of the time if there is none.
    day: Option<&'static str>,
    region: &'static str,
    hash: String,
    headers: Vec<(&'static str, String)>,
    age: Duration,
    is_early: bool,
}

impl Call {
    pub(crate) fn new(method: &'static str, path: impl Into<String>, body: &[u8]) -> Self {
        let hash = hex::encode(Sha256::digest(body));
        let (headers, age) = (Vec::new(), Duration::ZERO);
        let (path, query) = (path.into(), String::new());
        Self {
            method,
            path,
            query,
            id: "writer",
            day: None,
            region: "auto",
            hash,
            headers,
            age,
            is_early: false,
        }
    }

    fn put(body: &[u8]) -> Self {
        Self::new("PUT", "/bucket/key", body)
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        self.headers.push((name, value.to_string()));
        self
    }

    pub(crate) fn query(self, query: &str) -> Self {
        Self { query: query.to_owned(), ..self }
    }

    pub(crate) fn by(self, id: &'static str) -> Self {
        Self { id, ..self }
    }

    pub(crate) fn of_day(self, day: &'static str) -> Self {
        Self { day: Some(day), ..self }
    }

    pub(crate) fn of_region(self, region: &'static str) -> Self {
        Self { region, ..self }
    }

    fn scope(&self, time: &str) -> String {
        format!("{}/{}/s3/aws4_request", self.day.unwrap_or(&time[..8]), self.region)
    }

    pub(crate) fn hashed(self, hash: &str) -> Self {
        Self { hash: hash.to_owned(), ..self }
    }

    fn sign(self) -> Signed {
        let time = self.time();
        let scope = self.scope(&time);
        let mut headers = self.headers;
        let own =
            [("host", HOST.to_owned()), ("x-amz-content-sha256", self.hash), ("x-amz-date", time.clone())];
        let hash = own[1].1.clone();
        headers.extend(own);
        headers.sort();
        let (lines, names) = signed_headers(&headers);
        let canonical = format!("{}\n{}\n{}\n{lines}\n{names}\n{hash}", self.method, self.path, self.query);
        let (key, signature) = signature(&time, &scope, &canonical);
        let uri = if self.query.is_empty() {
            self.path.to_owned()
        } else {
            format!("{}?{}", self.path, self.query)
        };
        let head =
            format!("AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={names}, Signature=", self.id);
        Signed { method: self.method, uri, headers, head, signature, key, time, scope }
    }

    /// The same with the signature in the query, good for an hour.
    pub(crate) fn presign(self) -> http::request::Builder {
        let time = self.time();
        let scope = self.scope(&time);
        let mut headers = self.headers;
        headers.push(("host", HOST.to_owned()));
        headers.sort();
        let (lines, names) = signed_headers(&headers);
        let credential = escape(&format!("{}/{scope}", self.id), b"");
        let mut query = vec![
            "X-Amz-Algorithm=AWS4-HMAC-SHA256".to_owned(),
            format!("X-Amz-Credential={credential}"),
            format!("X-Amz-Date={time}"),
            "X-Amz-Expires=3600".to_owned(),
            format!("X-Amz-SignedHeaders={}", escape(&names, b"")),
        ];
        query.extend(self.query.split('&').filter(|pair| !pair.is_empty()).map(str::to_owned));
        query.sort();
        let query = query.join("&");
        let canonical = format!("{}\n{}\n{query}\n{lines}\n{names}\n{UNSIGNED}", self.method, self.path);
        let (_, signature) = signature(&time, &scope, &canonical);
        let uri = format!("{}?{query}&X-Amz-Signature={signature}", self.path);
        let request = Request::builder().method(self.method).uri(uri);
        headers.into_iter().fold(request, |request, (name, value)| request.header(name, value))
    }

    fn time(&self) -> String {
        let now = OffsetDateTime::now_utc();
        let moment = if self.is_early { now + self.age } else { now - self.age };
        moment.format(format_description!("[year][month][day]T[hour][minute][second]Z")).unwrap()
    }

    pub(crate) fn send(self, body: impl Into<Body>) -> Request<Body> {
        self.sign().send(body)
    }
}

#[derive(Clone)]
struct Signed {
    method: &'static str,
    uri: String,
    headers: Vec<(&'static str, String)>,
    head: String,
    signature: String,
    key: Vec<u8>,
    time: String,
    scope: String,
}

impl Signed {
    fn send(&self, body: impl Into<Body>) -> Request<Body> {
        let mut request = Request::builder().method(self.method).uri(&self.uri);
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        request.header("authorization", format!("{}{}", self.head, self.signature)).body(body.into()).unwrap()
    }

    /// A body in signed chunks.
    fn chunks(&self, chunks: &[&[u8]]) -> Vec<u8> {
        let (mut body, mut before) = (Vec::new(), self.signature.clone());
        for chunk in chunks.iter().chain([&&b""[..]]) {
            let (nothing, hash) = (hex::encode(Sha256::digest("")), hex::encode(Sha256::digest(chunk)));
            let text = format!(
                "AWS4-HMAC-SHA256-PAYLOAD\n{}\n{}\n{before}\n{nothing}\n{hash}",
                self.time, self.scope
            );
            before = hex::encode(hmac(&self.key, text.as_bytes()));
            body.extend(format!("{:x};chunk-signature={before}\r\n", chunk.len()).bytes());
            body.extend(*chunk);
            body.extend(b"\r\n");
        }
        body
    }
}

/// A canonical request's headers, and their names.
fn signed_headers(headers: &[(&'static str, String)]) -> (String, String) {
    let lines = headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
    (lines, headers.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";"))
}

/// The key of a scope and what it makes of a canonical request.
fn signature(time: &str, scope: &str, canonical: &str) -> (Vec<u8>, String) {
    let key = scope
        .split('/')
        .fold(format!("AWS4{SECRET}").into_bytes(), |key, part| hmac(&key, part.as_bytes()).to_vec());
    let hash = hex::encode(Sha256::digest(canonical));
    let signature = hex::encode(hmac(&key, format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{hash}").as_bytes()));
    (key, signature)
}

fn hmac(key: &[u8], text: &[u8]) -> [u8; 32] {
    let mut block = [0; 64];
    block[..key.len()].copy_from_slice(key);
    let inner = Sha256::new().chain_update(block.map(|byte| byte ^ 0x36)).chain_update(text).finalize();
    Sha256::new().chain_update(block.map(|byte| byte ^ 0x5c)).chain_update(inner).finalize().into()
}

/// A body in chunks without signatures, and a trailer.
fn trailed(content: &[u8], trailer: &str) -> Vec<u8> {
    let size = format!("{:x}\r\n", content.len());
    [size.as_bytes(), content, b"\r\n0\r\n", trailer.as_bytes(), b"\r\n"].concat()
}

fn in_chunks(content: &[u8], said: usize) -> Call {
    Call::put(content)
        .hashed(CHUNKS)
        .with("content-encoding", "aws-chunked")
        .with("x-amz-decoded-content-length", said)
}

fn with_trailer(content: &[u8]) -> Call {
    let call = Call::put(content).hashed(TRAILER).with("x-amz-trailer", "x-amz-checksum-crc32");
    call.with("content-encoding", "aws-chunked").with("x-amz-decoded-content-length", content.len())
}

fn crc(content: &[u8]) -> String {
    format!("x-amz-checksum-crc32:{}\r\n", BASE64_STANDARD.encode(crc32fast::hash(content).to_be_bytes()))
}

#[tokio::test]
async fn what_is_signed_rightly_is_stored() {
    let door = Door::new().await;
    let content = bytes(20 * 1024);
    let chunked = in_chunks(&content, content.len()).sign();
    let requests = [
        ("whole", Call::put(&content).send(content.clone())),
        ("unsigned body", Call::put(&content).hashed(UNSIGNED).send(content.clone())),
        ("in chunks", chunked.send(chunked.chunks(&[&content[..9000], &content[9000..]]))),
        ("with a trailer", with_trailer(&content).send(trailed(&content, &crc(&content)))),
    ];
    for (what, request) in requests {
        assert_eq!(door.room.put("key", b"old").await.code(), None);
        let answer = door.send(request).await;
        assert_eq!(answer.status, 200, "{what}: {:?}", answer.body);
        assert!(door.room.get("key").await.value() == content, "{what}");
    }
}

#[tokio::test]
async fn a_request_that_was_tampered_with_is_refused_and_nothing_is_stored() {
    let door = Door::new().await;
    let content = bytes(20 * 1024);
    let other = bytes(20 * 1024 + 1)[1..].to_vec();
    let mismatch = (403, "SignatureDoesNotMatch");

    let mut signed = Call::put(&content).sign();
    signed.signature = signed.signature.chars().rev().collect();
    door.refuse("signature", signed.send(content.clone()), mismatch).await;
    let mut signed = Call::put(&content).sign();
    signed.uri = "/bucket/other".to_owned();
    door.refuse("path", signed.send(content.clone()), mismatch).await;
    let mut signed = Call::put(&content).with("x-amz-meta-a", "one").sign();
    signed.headers.iter_mut().find(|(name, _)| *name == "x-amz-meta-a").unwrap().1 = "two".to_owned();
    door.refuse("header", signed.send(content.clone()), mismatch).await;
    let mut signed = Call::put(&content).sign();
    signed.method = "DELETE";
    door.refuse("method", signed.send(""), mismatch).await;
    let request = Call::put(&content).send(other.clone());
    door.refuse("body", request, (400, "XAmzContentSHA256Mismatch")).await;

    let signed = in_chunks(&content, content.len()).sign();
    let mut body = signed.chunks(&[&content]);
    body[10_000] ^= 1;
    door.refuse("chunk", signed.send(body), mismatch).await;
    let swapped = signed.chunks(&[&content[..10_240], &content[10_240..]]);
    let half = swapped.len() / 2;
    door.refuse("chunk that is missing", signed.send(swapped[half..].to_vec()), (400, "IncompleteBody"))
        .await;
}

#[tokio::test]
async fn headers_of_s3_that_the_signature_does_not_cover_are_refused() {
    let door = Door::new().await;
    let denied = (403, "AccessDenied");
    let foreign = [
        ("x-amz-copy-source", "/bucket/key"),
        ("x-amz-meta-said", "x"),
        ("X-Amz-Acl", "private"),
        ("cf-create-bucket-if-missing", "true"),
    ];
    for (name, value) in foreign {
        let mut signed = Call::new("PUT", "/bucket/other", b"").sign();
        signed.headers.push((name, value.to_owned()));
        door.refuse(name, signed.send(""), denied).await;
        let presigned = || Call::new("PUT", "/bucket/other", b"").presign().header(name, value);
        door.refuse(name, presigned().body(Body::empty()).unwrap(), denied).await;
        // What else the request claims to have signed is no matter: the query's signature is the one that is verified.
        let claimed = format!("AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders={name}, Signature=c");
        let request = presigned().header("authorization", claimed);
        door.refuse(name, request.body(Body::empty()).unwrap(), denied).await;

        // Nor what is claimed where nobody verifies it.
        let name = name.to_lowercase();
        for (at, more, expected) in [
            ("AWS4-HMAC-SHA256", format!("SignedHeaders={name},"), (400, "AuthorizationHeaderMalformed")),
            ("AWS4-HMAC-SHA256 ", format!("SignedHeaders={name}, "), (400, "AuthorizationHeaderMalformed")),
            ("SignedHeaders=host", format!(";SignedHeaders={name}"), denied),
            ("SignedHeaders=", format!("{name};"), (403, "SignatureDoesNotMatch")),
        ] {
            let mut changed = signed.clone();
            changed.head.insert_str(changed.head.find(at).unwrap() + at.len(), &more);
            door.refuse(&more, changed.send(""), expected).await;
        }
    }
    // What is no text is not verified.
    let mut signed = Call::new("PUT", "/bucket/other", b"").sign();
    signed.head = signed.head.replace("host;", "host;x-amz-acl;");
    let mut request = signed.send("");
    request.headers_mut().insert("x-amz-acl", http::HeaderValue::from_bytes(b"\xff").unwrap());
    door.refuse("no text", request, denied).await;
    // The hash of the body can only narrow what a presigned address lets in.
    let hash = hex::encode(Sha256::digest("new"));
    let put = Call::new("PUT", "/bucket/other", b"").presign().header("x-amz-content-sha256", hash);
    assert_eq!(door.send(put.body(Body::from("new")).unwrap()).await.status, 200);
}

#[tokio::test]
async fn what_a_presigned_address_says_in_place_of_headers_counts() {
    let door = Door::new().await;
    let put = |query: &str| Call::new("PUT", "/bucket/other", b"").query(query).presign();
    let said = put(
        "x-amz-meta-said=this%20%C3%BC&x-amz-storage-class=STANDARD_IA&x-amz-checksum-crc32=AAAAAA%3D%3D",
    );
    assert_eq!(door.send(said.body(Body::from("new")).unwrap()).await.status, 200);
    let told = door.send(Call::new("HEAD", "/bucket/other", b"").send("")).await;
    assert_eq!(told.headers["x-amz-meta-said"], "=?UTF-8?B?dGhpcyDDvA==?=");
    assert_eq!(told.headers["x-amz-storage-class"], "STANDARD_IA");

    assert_eq!(door.room.delete("other").await.code(), None);
    for (query, expected) in [
        ("x-amz-tagging=a%3Db", (501, "NotImplemented")),
        ("x-amz-meta-said=a%0Ab", (400, "InvalidArgument")),
        ("x-amz-meta-a%20b=c", (400, "InvalidArgument")),
        ("x-amz-copy-source=%2Fbucket%2Fmissing", (404, "NoSuchKey")),
    ] {
        door.refuse(query, put(query).body(Body::empty()).unwrap(), expected).await;
    }
    // Only of an address that is signed.
    let mut signed = Call::new("PUT", "/bucket/other", b"").query("x-amz-meta-said=lost").sign();
    assert_eq!(door.send(signed.send("")).await.status, 200);
    let told = door.send(Call::new("HEAD", "/bucket/other", b"").send("")).await;
    assert!(!told.headers.contains_key("x-amz-meta-said"));
    signed.uri = signed.uri.replace("lost", "other");
    assert_eq!(door.send(signed.send("")).await.status, 403);
}

#[tokio::test]
async fn claims_that_would_cost_more_than_their_bytes_are_refused() {
    let door = Door::new().await;
    let value = "v".repeat(30_000);
    let often = vec!["a"; 16_000].join(";");
    // Upper and lower case are different names to whoever sorts them, and one to whoever looks for them.
    let cases = (0..4096_u32).map(|number| {
        let letter = |at: u32| if (number >> at) & 1 == 0 { 'A' } else { 'a' };
        (0..12).map(letter).collect::<String>()
    });
    for (name, names, expected) in [
        ("a", often, (400, "InvalidRequest")),
        ("aaaaaaaaaaaa", cases.collect::<Vec<_>>().join(";"), (403, "SignatureDoesNotMatch")),
    ] {
        let mut signed = Call::new("GET", "/bucket/key", b"").sign();
        signed.head = signed.head.replace("SignedHeaders=", &format!("SignedHeaders={names};"));
        signed.headers.push((name, value.clone()));
        door.refuse(name, signed.send(""), expected).await;
        let presigned = Call::new("GET", "/bucket/key", b"").presign();
        let uri = presigned.uri_ref().unwrap().to_string();
        let names = format!("SignedHeaders={}%3B", escape(&names, b""));
        let presigned = presigned.uri(uri.replace("SignedHeaders=", &names)).header(name, &value);
        door.refuse(name, presigned.body(Body::empty()).unwrap(), expected).await;
    }
}

#[tokio::test]
async fn signatures_of_version_2_are_refused_behind_whatever() {
    let door = Door::new().await;
    let expected = (400, "InvalidRequest");
    let get =
        || Request::get("/bucket/key").header("host", HOST).header("date", "Tue, 27 Mar 2007 19:36:42 +0000");
    let request = get().header("authorization", &b"\xff"[..]).header("authorization", "AWS writer:c2ln");
    door.refuse("behind another", request.body(Body::empty()).unwrap(), expected).await;
    let twice = get().header("authorization", "AWS4-HMAC-SHA256 a").header("authorization", "b");
    let malformed = (400, "AuthorizationHeaderMalformed");
    door.refuse("two", twice.body(Body::empty()).unwrap(), malformed).await;
}

#[tokio::test]
async fn a_body_that_is_not_what_its_checksums_or_lengths_say_is_refused() {
    let door = Door::new().await;
    let content = bytes(20 * 1024);
    let wrong = BASE64_STANDARD.encode(Sha256::digest("other"));
    let request = Call::put(&content).with("x-amz-checksum-sha256", &wrong).send(content.clone());
    door.refuse("checksum", request, (400, "BadDigest")).await;
    let request =
        Call::put(&content).with("content-md5", BASE64_STANDARD.encode([7; 16])).send(content.clone());
    door.refuse("MD5", request, (400, "BadDigest")).await;
    let request = with_trailer(&content).send(trailed(&content, &crc(b"other")));
    door.refuse("trailer", request, (400, "BadDigest")).await;
    let request = with_trailer(&content).send(trailed(&content, ""));
    door.refuse("trailer that never comes", request, (400, "MalformedTrailerError")).await;

    for said in [0, content.len() - 1, content.len() + 1] {
        let signed = in_chunks(&content, said).sign();
        let request = signed.send(signed.chunks(&[&content]));
        door.refuse("decoded length", request, (400, "IncompleteBody")).await;
    }
    let signed = in_chunks(&content, 6 << 30).sign();
    let request = signed.send(signed.chunks(&[&content]));
    door.refuse("absurd decoded length", request, (400, "EntityTooLarge")).await;
    let signed = in_chunks(&content, content.len()).sign();
    let mut body = signed.chunks(&[&content]);
    body.truncate(body.len() / 2);
    door.refuse("cut off", signed.send(body), (400, "IncompleteBody")).await;
    for absurd in ["zz;chunk-signature=0\r\n", "ffffffffffffffff;chunk-signature=0\r\n", "\r\n\r\n"] {
        door.refuse(absurd, signed.send(absurd), (400, "IncompleteBody")).await;
    }
}

#[tokio::test]
async fn who_may_not_is_refused_and_a_revoked_key_at_once() {
    let door = Door::new().await;
    let unsigned =
        |method: &str| Request::builder().method(method).uri("/bucket/key").body(Body::from("new")).unwrap();
    for method in ["GET", "PUT", "DELETE"] {
        door.refuse("unsigned", unsigned(method), (403, "AccessDenied")).await;
        let request = Call { method: "PUT", ..Call::put(b"new") }.by("stranger").send("new");
        door.refuse("unknown", request, (403, "InvalidAccessKeyId")).await;
    }
    for is_early in [false, true] {
        let call = || Call { age: Duration::from_secs(16 * 60), is_early, ..Call::put(b"new") };
        door.refuse("of another time", call().send("new"), (403, "RequestTimeTooSkewed")).await;
    }

    assert_eq!(door.send(Call::new("GET", "/bucket/key", b"").by("reader").send("")).await.body, "old");
    let denied = (403, "AccessDenied");
    let deletion = b"<Delete><Object><Key>key</Key></Object></Delete>";
    for (method, path, query, body) in [
        ("PUT", "/bucket/key", "", &b"new"[..]),
        ("DELETE", "/bucket/key", "", b""),
        ("POST", "/bucket", "delete=", deletion),
        ("POST", "/bucket/key", "uploads=", b""),
        ("PUT", "/bucket", "cors=", b"<CORSConfiguration/>"),
        ("PUT", "/bucket-of-a-reader", "", b""),
        ("DELETE", "/bucket", "", b""),
    ] {
        let request = Call::new(method, path, body).query(query).by("reader").send(body.to_vec());
        door.refuse(path, request, denied).await;
    }

    let earlier = Call::put(b"new").by("reader").sign();
    door.keys.0.lock().unwrap().remove("reader");
    door.refuse("revoked", earlier.send("new"), (403, "InvalidAccessKeyId")).await;
    let request = Call::new("GET", "/bucket/key", b"").by("reader").send("");
    door.refuse("revoked", request, (403, "InvalidAccessKeyId")).await;
}

/// Who is told that a bucket's hosts are free again.
#[derive(Default)]
struct Told(Mutex<Vec<String>>);

impl Domains for Told {
    fn list(&self, _bucket: BucketPlace) -> BoxFuture<'_, Result<Vec<BucketDomain>, ApiError>> {
        Box::pin(ready(Ok(Vec::new())))
    }

    fn put(&self, _new: NewBucketDomain) -> BoxFuture<'_, Result<BucketDomain, ApiError>> {
        panic!("nobody gives a bucket a host")
    }

    fn delete(&self, _bucket: BucketPlace, _hostname: String) -> BoxFuture<'_, Result<(), ApiError>> {
        panic!("nobody takes a host from a bucket")
    }

    fn owners(&self) -> BoxFuture<'_, Result<Vec<String>, ApiError>> {
        Box::pin(ready(Ok(Vec::new())))
    }

    fn forget(&self, bucket_id: String) -> BoxFuture<'_, Result<(), ApiError>> {
        self.0.lock().unwrap().push(bucket_id);
        Box::pin(ready(Ok(())))
    }
}

#[tokio::test]
async fn the_hosts_of_a_deleted_bucket_are_given_back() {
    let door = Door::new().await;
    let told = Arc::new(Told::default());
    door.room.r2.buckets.attach(Arc::clone(&told) as Arc<dyn Domains>);
    let delete = || Call::new("DELETE", "/bucket", b"").send("");
    door.refuse("with an object in it", delete(), (409, "BucketNotEmpty")).await;
    assert!(told.0.lock().unwrap().is_empty());
    assert_eq!(door.room.delete("key").await.code(), None);
    assert_eq!(door.send(delete()).await.status, 204);
    assert_eq!(told.0.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn forms_are_refused_unread() {
    let door = Door::new().await;
    let unread = stream::once(async { panic!("nobody reads a form") }).map(Ok::<Bytes, Infallible>);
    let form = Request::post("/bucket").header("host", "s3.localhost");
    let form = form.header("content-type", "Multipart/Form-Data; boundary=x").body(Body::from_stream(unread));
    door.refuse("form", form.unwrap(), (501, "NotImplemented")).await;
}

#[tokio::test]
async fn xml_that_is_no_xml_too_large_or_a_bomb_is_refused() {
    let door = Door::new().await;
    let laughs = (0..20).fold("<!ENTITY a0 \"lol\">".to_owned(), |text, level| {
        format!("{text}<!ENTITY a{} \"{}\">", level + 1, format!("&a{level};").repeat(10))
    });
    let bomb = format!("<!DOCTYPE d [{laughs}]><Delete><Object><Key>&a20;</Key></Object></Delete>");
    let foreign = "<!DOCTYPE d [<!ENTITY f SYSTEM \"file:///etc/passwd\">]><Delete><Object><Key>&f;</Key></Object></Delete>";
    let deep = "<Delete>".repeat(100_000);
    let many = format!("<Delete>{}</Delete>", "<Object><Key>key</Key></Object>".repeat(1001));
    for (what, body) in [
        ("no XML", "{}"),
        ("cut off", "<Delete><Object><Key>key"),
        ("bomb", &bomb),
        ("foreign entity", foreign),
        ("deep", &deep),
        ("more than 1,000 keys", &many),
    ] {
        let call = Call::new("POST", "/bucket", body.as_bytes()).query("delete=");
        let call = call.with("content-length", body.len());
        door.refuse(what, call.send(body.to_owned()), (400, "MalformedXML")).await;
    }
    for (method, query) in [("POST", "delete="), ("PUT", "cors="), ("PUT", "lifecycle=")] {
        let call = Call::new(method, "/bucket", b"").query(query).hashed(UNSIGNED);
        let call = call.with("content-length", 8 * MIB + 1);
        let huge = call.send(vec![b' '; 8 * MIB + 1]);
        door.refuse("too large", huge, (400, "MaxMessageLengthExceeded")).await;
    }
}

#[tokio::test]
async fn a_body_that_stalls_for_a_minute_is_given_up() {
    let door = Door::new().await;
    let start = stream::iter([Ok::<_, Infallible>(Bytes::from(bytes(3 * MIB)))]);
    let body = Body::from_stream(start.chain(stream::pending()));
    let request = Call::put(b"").hashed(UNSIGNED).with("content-length", 5 * MIB).send(body);
    // From here on, time passes as soon as nothing else happens.
    tokio::time::pause();
    let before = tokio::time::Instant::now();
    door.refuse("stalled", request, (400, "IncompleteBody")).await;
    assert_eq!(before.elapsed().as_secs(), 60);
}

/// Escapes everything but what no signature escapes.
pub(crate) fn escape(text: &str, kept: &[u8]) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || kept.contains(&byte);
    let one = |byte| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(one).collect()
}

#[test]
fn any_key_query_and_header_that_is_signed_counts_and_nothing_else_does() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let door = runtime.block_on(Door::new());
    let mut runner = TestRunner::new(Config { cases: 64, failure_persistence: None, ..Config::default() });
    let text = "[a-z0-9 ü€%+&=?#'()*!~;:@,$/.-]{1,12}";
    let outcome = runner.run(&(text, text, "[a-z0-9 %+;:@,-]{0,8}[a-z0-9]"), |(key, language, header)| {
        // A path of dots alone is another path to every URL parser on the way.
        prop_assume!(!key.split('/').any(|part| matches!(part, "." | "..")));
        // A signature counts several spaces as one.
        let header = header.split_whitespace().collect::<Vec<_>>().join(" ");
        runtime.block_on(async {
            let path = format!("/bucket/{}", escape(&format!("k/{key}"), b"/"));
            let put = Call::new("PUT", &path, key.as_bytes()).with("x-amz-meta-said", &header).sign();
            assert_eq!(door.send(put.send(key.clone())).await.status, 200, "{key}");
            assert_eq!(door.room.get(&format!("k/{key}")).await.value(), key.as_bytes());

            let query = format!("response-content-language={}", escape(&language, b""));
            let signed = Call::new("GET", &path, b"").query(&query).sign();
            let got = door.send(signed.send("")).await;
            assert_eq!((got.status.as_u16(), &got.body[..]), (200, key.as_bytes()), "{key} {language}");
            assert_eq!(got.headers["x-amz-meta-said"], header);

            let others = [
                signed.uri.replacen("k/", "K/", 1),
                format!("{}x", signed.uri),
                signed.uri.replacen("response-content-language", "response-content-type", 1),
                signed.uri.split('?').next().unwrap().to_owned(),
            ];
            for uri in others {
                let refused = door.send(Signed { uri: uri.clone(), ..signed.clone() }.send("")).await;
                assert_eq!(refused.status, 403, "{uri}");
            }
        });
        Ok(())
    });
    outcome.unwrap();
}
