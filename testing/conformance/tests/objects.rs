//! The example `objects` deploys with both wranglers and does over HTTP and WebSockets what its README says, before and after
//! the server is killed; the same drive passes on the reference.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use http::{Method, Request, header};
use serde_json::{Value, json};
use testkit::{Answer, Message, Project, Server, WebSocket, Wrangler, send};

#[tokio::test]
async fn objects_answer_after_a_deployment_with_either_wrangler_and_after_a_kill() {
    for wrangler in Wrangler::ALL {
        let server = Server::start().await;
        let project = Project::example("objects");
        server.wrangler(wrangler, project.path()).args(["deploy"]).succeed().await;
        Site { address: server.http() }.drive().await;
        // Its migration is done: the tag says so.
        server.wrangler(wrangler, project.path()).args(["deploy"]).succeed().await;
        Site { address: server.http() }.remembers().await;
        let folder = server.kill().await;
        let server = Server::builder().folder(&folder).start().await;
        Site { address: server.http() }.remembers().await;
        server.wrangler(wrangler, project.path()).args(["delete", "--force"]).succeed().await;
        server.stop().await;
    }
}

#[tokio::test]
async fn objects_answer_the_same_on_the_reference() {
    let project = Project::example("objects");
    let command = Wrangler::New.command(project.path(), &BTreeMap::new());
    let dev = command.args(["dev", "--ip", "127.0.0.1", "--port", "0"]).start();
    let ready = dev.log().wait_for("Ready on http://", Duration::from_secs(60)).await;
    let (_, address) = ready.split_once("http://").expect("the line was found by this text");
    let site = Site { address: address.trim() };
    site.drive().await;
    site.remembers().await;
}

const HOST: &str = "objects.localhost";

struct Site<'a> {
    address: &'a str,
}

impl Site<'_> {
    async fn drive(&self) {
        for count in 1..=3 {
            let counted = self.ask(Method::POST, "/counters/visits/increment", None).await.expect(200).json();
            assert_eq!(counted, json!({ "count": count }));
        }
        assert_eq!(
            self.ask(Method::GET, "/counters/other", None).await.expect(200).json(),
            json!({ "count": 0 })
        );
        let _ = self.ask(Method::GET, "/nowhere", None).await.expect(404);
        self.chat().await;
        self.cart().await;
    }

    async fn chat(&self) {
        let mut ada = WebSocket::open(self.address, HOST, "/rooms/lobby/websocket").await;
        let mut bob = WebSocket::open(self.address, HOST, "/rooms/lobby/websocket").await;
        let mut elsewhere = WebSocket::open(self.address, HOST, "/rooms/attic/websocket").await;
        ada.send("not JSON").await;
        assert_eq!(ada.next_text().await, r#"{"error":"a message is JSON"}"#);
        let message = json!({ "from": "ada", "text": "hello" });
        ada.send(&message.to_string()).await;
        for socket in [&mut ada, &mut bob] {
            assert_eq!(serde_json::from_str::<Value>(&socket.next_text().await).expect("JSON"), message);
        }
        elsewhere.send("1").await;
        assert_eq!(elsewhere.next_text().await, "1");
        for mut socket in [ada, bob, elsewhere] {
            socket.send_message(Message::Close(None)).await;
            while socket.next().await.is_some() {}
        }
        assert_eq!(self.ask(Method::GET, "/rooms/lobby/websocket", None).await.status, 426);
    }

    async fn cart(&self) {
        let empty = self.ask(Method::POST, "/carts/ada/checkout", None).await;
        assert_eq!((empty.status.as_u16(), empty.text()), (400, "Cart is empty".to_owned()));
        for (product, quantity) in [("tea", 1), ("cup", 2), ("tea", 2)] {
            let item = json!({ "productId": product, "quantity": quantity });
            let _ = self.ask(Method::POST, "/carts/ada/add", Some(&item)).await.expect(200);
        }
        let removed = json!({ "productId": "cup" });
        let kept = self.ask(Method::DELETE, "/carts/ada/remove", Some(&removed)).await.expect(200).json();
        assert_eq!(kept["items"], json!([{ "productId": "tea", "quantity": 3 }]));
        let order = self.ask(Method::POST, "/carts/ada/checkout", None).await.expect(200).json();
        assert_eq!(order["order"], json!({ "user": "ada", "items": kept["items"] }));
        let item = json!({ "productId": "pot", "quantity": 1 });
        let _ = self.ask(Method::POST, "/carts/ada/add", Some(&item)).await.expect(200);
    }

    /// What was there before is there.
    async fn remembers(&self) {
        let visits = self.ask(Method::GET, "/counters/visits", None).await.expect(200).json();
        assert_eq!(visits, json!({ "count": 3 }));
        let said = self.ask(Method::GET, "/rooms/lobby/messages", None).await.expect(200).json();
        assert_eq!(said, json!([{ "from": "ada", "text": "hello" }]));
        let cart = self.ask(Method::GET, "/carts/ada", None).await.expect(200).json();
        assert_eq!(cart, json!({ "items": [{ "productId": "pot", "quantity": 1 }] }));
    }

    async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Answer {
        let request = Request::builder().method(method).uri(path).header(header::HOST, HOST);
        let body = body.map_or_else(Bytes::new, |body| body.to_string().into());
        send(self.address, request.body(body).expect("a valid request")).await
    }
}
