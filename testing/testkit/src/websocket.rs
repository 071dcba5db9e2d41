//! A WebSocket to a Worker: the address is ours, the `Host` is the Worker's.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use http::{HeaderValue, header::HOST};
use tokio::net::TcpStream;
pub use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async, tungstenite::client::IntoClientRequest as _};

use crate::within;

/// How long the next message may take.
const MESSAGE_LIMIT: Duration = Duration::from_secs(30);

/// An open WebSocket.
#[derive(Debug)]
pub struct WebSocket {
    stream: WebSocketStream<TcpStream>,
}

impl WebSocket {
    /// Opens one at `address` (`host:port`) for the given `Host` and path.
    ///
    /// # Panics
    /// If the upgrade is refused.
    pub async fn open(address: &str, host: &str, path: &str) -> Self {
        let title = format!("WebSocket {host}{path}");
        let mut request = format!("ws://{address}{path}").into_client_request().expect("a plain address");
        request.headers_mut().insert(HOST, HeaderValue::from_str(host).expect("a host name"));
        within(&title, MESSAGE_LIMIT, async {
            let stream = TcpStream::connect(address).await.expect("connect");
            let outcome = client_async(request, stream).await;
            let (stream, _) = outcome.unwrap_or_else(|error| panic!("{title}: {error}"));
            Self { stream }
        })
        .await
    }

    /// Sends text.
    ///
    /// # Panics
    /// If the connection has ended.
    pub async fn send(&mut self, text: &str) {
        self.stream.send(Message::text(text)).await.unwrap_or_else(|error| panic!("send `{text}`: {error}"));
    }

    /// Sends any message.
    ///
    /// # Panics
    /// If the connection has ended.
    pub async fn send_message(&mut self, message: Message) {
        self.stream.send(message).await.unwrap_or_else(|error| panic!("send a message: {error}"));
    }

    /// The next message that is no ping or pong; `None` when the connection has ended.
    ///
    /// # Panics
    /// If there is none for too long.
    pub async fn next(&mut self) -> Option<Message> {
        within("the next WebSocket message", MESSAGE_LIMIT, async {
            loop {
                match self.stream.next().await?.ok()? {
                    Message::Ping(_) | Message::Pong(_) => {}
                    message => return Some(message),
                }
            }
        })
        .await
    }

    /// The next message, which must be text.
    ///
    /// # Panics
    /// If it is something else.
    pub async fn next_text(&mut self) -> String {
        match self.next().await {
            Some(Message::Text(text)) => text.to_string(),
            other => panic!("expected text on the WebSocket, got {other:?}"),
        }
    }
}
