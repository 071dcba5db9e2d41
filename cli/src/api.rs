//! The running server's v4 API, called with the owner's token.

use std::{io::Write, path::Path};

use bytes::{Bytes, BytesMut};
use futures_util::stream;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Frame, Incoming};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::Value;
use server::{Addresses, Credentials};
use tokio::io::AsyncReadExt as _;

use crate::failure::Failure;

/// Largest answer that is read; lists of all Workers stay far below.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Bytes of a file that are read at a time.
const CHUNK_BYTES: usize = 256 * 1024;

/// A body that is in memory, or comes from a file.
type RequestBody = UnsyncBoxBody<Bytes, std::io::Error>;

/// A server that runs, and the right to ask it.
#[derive(Debug)]
pub(crate) struct Api {
    pub(crate) addresses: Addresses,
    pub(crate) credentials: Credentials,
    client: Client<HttpConnector, RequestBody>,
}

impl Api {
    /// Finds the server of a data folder.
    pub(crate) fn find(data: &Path) -> Result<Self, Failure> {
        let not_running = || {
            Failure::new(format!("no server runs on `{}`", data.display()))
                .hint("start one with `skerry serve`, or name its data folder with --data")
        };
        let addresses =
            Addresses::read(data).map_err(|error| Failure::doing("read run/addresses.json", error))?;
        let addresses = addresses.filter(|_| Addresses::is_served(data)).ok_or_else(not_running)?;
        let credentials =
            Credentials::read(data).map_err(|error| Failure::doing("read credentials.json", error))?;
        let credentials = credentials.ok_or_else(not_running)?;
        let client = Client::builder(TokioExecutor::new()).build_http();
        Ok(Self { addresses, credentials, client })
    }

    /// A path below the account.
    pub(crate) fn in_account(&self, path: &str) -> String {
        format!("/accounts/{}{path}", self.credentials.account_id)
    }

    /// Calls the API and takes the result out of its envelope.
    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<Value, Failure> {
        let what = format!("{method} {path}");
        let body = body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
        let answer = self.ask(method, path, body).await?;
        let mut envelope: Value =
            serde_json::from_slice(&answer).map_err(|cause| Failure::doing(&what, cause))?;
        Ok(envelope["result"].take())
    }

    /// Calls the API; the body of a success as it is.
    pub(crate) async fn ask(&self, method: Method, path: &str, body: Bytes) -> Result<Bytes, Failure> {
        let what = format!("{method} {path}");
        let (status, bytes) = self.exchange(method, path, body).await?;
        if status.is_success() { Ok(bytes) } else { Err(refusal(&what, &bytes)) }
    }

    /// Reads what lies at a path, if it is there.
    pub(crate) async fn read(&self, path: &str) -> Result<Option<Bytes>, Failure> {
        match self.exchange(Method::GET, path, Bytes::new()).await? {
            (StatusCode::NOT_FOUND, _) => Ok(None),
            (status, bytes) if status.is_success() => Ok(Some(bytes)),
            (_, bytes) => Err(refusal(&format!("GET {path}"), &bytes)),
        }
    }

    /// Writes what lies at a path to `output` as it comes; how many bytes that were.
    pub(crate) async fn save(&self, path: &str, output: &mut impl Write) -> Result<u64, Failure> {
        let what = format!("GET {path}");
        let answer = self.send(Method::GET, path, in_memory(Bytes::new())).await?;
        let is_success = answer.status().is_success();
        let mut body = answer.into_body();
        if !is_success {
            let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
            return Err(refusal(&what, &body.map_err(|cause| Failure::doing(&what, cause))?.to_bytes()));
        }
        let mut bytes = 0;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|cause| Failure::doing(&what, cause))?;
            let Ok(data) = frame.into_data() else { continue };
            bytes += data.len() as u64;
            output.write_all(&data).map_err(|cause| Failure::doing("write the file", cause))?;
        }
        Ok(bytes)
    }

    /// Posts a file as it is read, and takes the result out of its envelope.
    pub(crate) async fn send_file(&self, path: &str, file: &Path) -> Result<Value, Failure> {
        let what = format!("POST {path}");
        let open = tokio::fs::File::open(file).await;
        let open = open.map_err(|cause| Failure::doing(format!("read {}", file.display()), cause))?;
        let chunks = stream::try_unfold(open, async |mut file: tokio::fs::File| {
            let mut chunk = BytesMut::with_capacity(CHUNK_BYTES);
            let read = file.read_buf(&mut chunk).await?;
            Ok((read != 0).then(|| (Frame::data(chunk.freeze()), file)))
        });
        let body = StreamBody::new(chunks).boxed_unsync();
        let (status, answer) = self.exchange_body(Method::POST, path, body).await?;
        if !status.is_success() {
            return Err(refusal(&what, &answer));
        }
        let mut envelope: Value =
            serde_json::from_slice(&answer).map_err(|cause| Failure::doing(&what, cause))?;
        Ok(envelope["result"].take())
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<(StatusCode, Bytes), Failure> {
        self.exchange_body(method, path, in_memory(body)).await
    }

    async fn exchange_body(
        &self,
        method: Method,
        path: &str,
        body: RequestBody,
    ) -> Result<(StatusCode, Bytes), Failure> {
        let what = format!("{method} {path}");
        let answer = self.send(method, path, body).await?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
        Ok((status, body.map_err(|cause| Failure::doing(what, cause))?.to_bytes()))
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: RequestBody,
    ) -> Result<Response<Incoming>, Failure> {
        let what = format!("{method} {path}");
        let request = Request::builder()
            .method(method)
            .uri(format!("{}/client/v4{path}", self.addresses.api))
            .header(header::AUTHORIZATION, format!("Bearer {}", self.credentials.token))
            .header(header::CONTENT_TYPE, "application/json")
            .body(body)
            .map_err(|cause| Failure::doing(&what, cause))?;
        let answer = self.client.request(request).await;
        answer.map_err(|error| Failure::doing(&what, Failure::from_error(&error).message))
    }
}

fn in_memory(body: Bytes) -> RequestBody {
    Full::new(body).map_err(|never| match never {}).boxed_unsync()
}

fn refusal(what: &str, answer: &[u8]) -> Failure {
    let envelope: Value = serde_json::from_slice(answer).unwrap_or_default();
    let message = envelope["errors"][0]["message"].as_str().unwrap_or("the server gave no reason");
    Failure::doing(what, format!("{message} [code: {}]", envelope["errors"][0]["code"]))
}
