//! The running server's v4 API, called with the owner's token.

use std::path::Path;

use bytes::Bytes;
use http::{Method, Request, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use server::{Addresses, Credentials};

use crate::failure::Failure;

/// Largest answer that is read; lists of all Workers stay far below.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A server that runs, and the right to ask it.
#[derive(Debug)]
pub(crate) struct Api {
    pub(crate) addresses: Addresses,
    pub(crate) credentials: Credentials,
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
        Ok(Self { addresses, credentials })
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
        let answer = self.exchange(method, path, body).await.map_err(|cause| Failure::doing(&what, cause))?;
        let mut envelope: Value =
            serde_json::from_slice(&answer).map_err(|cause| Failure::doing(&what, cause))?;
        if envelope["success"] == Value::Bool(true) {
            return Ok(envelope["result"].take());
        }
        let message = envelope["errors"][0]["message"].as_str().unwrap_or("the server gave no reason");
        Err(Failure::doing(what, format!("{message} [code: {}]", envelope["errors"][0]["code"])))
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<Bytes, Box<dyn std::error::Error + Send + Sync>> {
        let address = self.addresses.api.strip_prefix("http://").unwrap_or(&self.addresses.api);
        let stream = tokio::net::TcpStream::connect(address).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let body = body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
        let request = Request::builder()
            .method(method)
            .uri(format!("/client/v4{path}"))
            .header(header::HOST, address)
            .header(header::AUTHORIZATION, format!("Bearer {}", self.credentials.token))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(body))?;
        let exchange = async {
            let answer = sender.send_request(request).await?;
            Ok(Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await?.to_bytes())
        };
        tokio::pin!(connection, exchange);
        tokio::select! {
            answer = &mut exchange => answer,
            ended = &mut connection => match ended {
                Ok(()) => exchange.await,
                Err(error) => Err(error.into()),
            },
        }
    }
}
