//! A real workerd serves our messages, and what it is told reaches user code unchanged.

use std::{
    io::{BufRead, BufReader, Read, Write},
    os::unix::net::UnixStream,
    path::Path,
    process::{Child, Stdio},
    time::Duration,
};

use serde_json::{Value, json};
use workerd_wire::{
    Binding, BindingValue, Config, Designator, HttpOptions, Module, ModuleContent, Service, ServiceKind,
    Socket, Worker, WorkerCode,
    command_line::{EVENT_LISTEN, SERVE_FROM_STDIN, control_fd},
    encode,
    headers::{CF_BLOB_HEADER, FORWARDED_PROTO_HEADER},
};

use crate::workerd;

/// What text formats stumble over: both quotes, a backslash, line ends, NUL, U+2028 and what is not ASCII.
const AWKWARD: &str = "\"double\" 'single' `back` \\ \\n ${x} \r\n\t\0\u{2028}\u{2029}é日本🦀\u{feff}";

/// How long one answer may take before the test fails.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

const ECHO: &str = r#"
import text from "text";
import data from "data";
import { WorkerEntrypoint } from "cloudflare:workers";
export class Props extends WorkerEntrypoint { fetch() { return new Response(this.ctx.props.value); } }
export default {
  async fetch(request, env) {
    const props = await (await env.PROPS.fetch("http://props/")).text();
    const bytes = [...new Uint8Array(data)];
    return Response.json({ text, bytes, binding: env.TEXT, json: env.JSON, props, url: request.url, cf: request.cf });
  },
};
"#;

#[test]
fn awkward_text_reaches_user_code_unchanged() {
    let as_json = json!({ "value": AWKWARD }).to_string();
    let props = Designator { name: "echo", entrypoint: Some("Props"), props: Some(&as_json) };
    let code = WorkerCode::Modules(vec![
        Module { name: "main", content: ModuleContent::EsModule(ECHO) },
        Module { name: "text", content: ModuleContent::Text(AWKWARD) },
        Module { name: "data", content: ModuleContent::Data(&[0, 255, 34]) },
    ]);
    let bindings = vec![
        Binding { name: "TEXT", value: BindingValue::Text(AWKWARD) },
        Binding { name: "JSON", value: BindingValue::Json(&as_json) },
        Binding { name: "PROPS", value: BindingValue::Service(props) },
    ];

    let answer = Server::start(code, bindings)
        .get(&[(CF_BLOB_HEADER, "{\"colo\":\"X\"}"), (FORWARDED_PROTO_HEADER, "https")]);

    let expected = json!({
        "text": AWKWARD, "bytes": [0, 255, 34], "binding": AWKWARD, "json": { "value": AWKWARD }, "props": AWKWARD,
        "url": "https://echo.test/", "cf": { "colo": "X" },
    });
    assert_eq!(serde_json::from_str::<Value>(&answer).unwrap(), expected);
}

#[test]
fn a_message_as_large_as_the_largest_upload_is_served() {
    let large = "x".repeat(LARGE_BYTES);
    let code = WorkerCode::Modules(vec![
        Module { name: "main", content: ModuleContent::EsModule(LENGTH) },
        Module { name: "text", content: ModuleContent::Text(&large) },
    ]);

    assert_eq!(Server::start(code, vec![]).get(&[]), LARGE_BYTES.to_string());
}

/// More than an upload may hold: 64 MB before compression (Cloudflare, Workers limits).
const LARGE_BYTES: usize = 80_000_000;

const LENGTH: &str = r#"
import text from "text";
export default { fetch() { return new Response(String(text.length)); } };
"#;

/// A workerd with one Worker behind one Unix socket; dropping it ends both.
struct Server {
    child: Child,
    folder: tempfile::TempDir,
}

impl Server {
    fn start(code: WorkerCode<'_>, bindings: Vec<Binding<'_>>) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the socket");
        let address = format!("unix:{}", socket_path(folder.path()).display());
        let message = encode(&config(code, bindings, &address));
        let child = workerd::command()
            .args(SERVE_FROM_STDIN)
            .arg(control_fd(1))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("workerd starts");
        let mut server = Self { child, folder };
        let mut stdin = server.child.stdin.take().expect("it is piped");
        stdin.write_all(&message).expect("workerd reads its configuration");
        drop(stdin);
        server.wait_until_it_listens();
        server
    }

    fn wait_until_it_listens(&mut self) {
        let stdout = self.child.stdout.take().expect("it is piped");
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).expect("its output is text");
        let event: Value = serde_json::from_str(&line).expect("workerd listens instead of ending");
        assert_eq!(event, json!({ "event": EVENT_LISTEN, "socket": "main", "port": 0 }));
    }

    fn get(&self, headers: &[(&str, &str)]) -> String {
        let mut stream = UnixStream::connect(socket_path(self.folder.path())).expect("workerd listens");
        stream.set_read_timeout(Some(ANSWER_TIMEOUT)).expect("the timeout is not zero");
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        write!(stream, "GET / HTTP/1.1\r\nHost: echo.test\r\nConnection: close\r\n{headers}\r\n")
            .expect("workerd reads the request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("workerd answers in time");
        let (head, body) = answer.split_once("\r\n\r\n").expect("an answer has a head");
        assert!(head.starts_with("HTTP/1.1 200 "), "{answer}");
        body.to_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().and_then(|()| self.child.wait()).expect("a child can be ended");
    }
}

fn socket_path(folder: &Path) -> std::path::PathBuf {
    folder.join("main")
}

fn config<'a>(code: WorkerCode<'a>, bindings: Vec<Binding<'a>>, address: &'a str) -> Config<'a> {
    let worker = Worker { code, compatibility_date: "2026-11-01", bindings, ..Worker::default() };
    let http = HttpOptions {
        cf_blob_header: Some(CF_BLOB_HEADER),
        forwarded_proto_header: Some(FORWARDED_PROTO_HEADER),
        ..HttpOptions::default()
    };
    let service = Designator { name: "echo", entrypoint: None, props: None };
    Config {
        services: vec![Service { name: "echo", kind: ServiceKind::Worker(Box::new(worker)) }],
        sockets: vec![Socket { name: "main", address, http, service }],
        ..Config::default()
    }
}
