//! A running server: starting it, its doors, and the three ways in which it ends.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs,
    path::PathBuf,
    process::{Child, ExitStatus, Stdio},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, header};
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    Answer, Clients, Connection, DataFolder, Log, Process, RawAnswer, Script, WebSocket, Wrangler,
    WranglerCommand, children_of, clients, command, http_client,
    process::{anonymous_bytes, resident_bytes},
    wait_until,
};

/// How long a server may take until all its doors listen.
const START_LIMIT: Duration = Duration::from_secs(30);

/// How long a server may take to end: it promises to drain for 30 seconds at most.
const STOP_LIMIT: Duration = Duration::from_secs(40);

/// A server that runs. Dropping it kills it.
#[derive(Debug)]
pub struct Server {
    child: Child,
    folder: Arc<DataFolder>,
    log: Log,
    addresses: Addresses,
    environment: BTreeMap<String, String>,
}

/// Where its doors are, as it wrote them to `run/addresses.json`.
#[derive(Debug, Clone, Deserialize)]
pub struct Addresses {
    /// The public door, an origin such as `http://127.0.0.1:8787`.
    pub http: String,
    /// The v4 API, an origin likewise.
    pub api: String,
    /// R2's S3 API, likewise.
    pub s3: String,
    /// The server's process.
    pub pid: u32,
}

/// How a server is to be started.
#[derive(Debug, Clone, Default)]
pub struct ServerBuilder {
    arguments: Vec<String>,
    variables: BTreeMap<String, String>,
    settings: Option<String>,
    folder: Option<Arc<DataFolder>>,
    binary: Option<PathBuf>,
}

impl ServerBuilder {
    /// Adds arguments of `skerry serve`.
    #[must_use]
    pub fn args<T: Into<String>>(mut self, arguments: impl IntoIterator<Item = T>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Sets a variable of its environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Gives it a settings file with this content (TOML).
    #[must_use]
    pub fn settings(mut self, toml: &str) -> Self {
        self.settings = Some(toml.to_owned());
        self
    }

    /// Starts it in the folder of an earlier server.
    #[must_use]
    pub fn folder(mut self, folder: &Arc<DataFolder>) -> Self {
        self.folder = Some(Arc::clone(folder));
        self
    }

    /// Runs another program in place of `skerry`.
    #[must_use]
    pub fn binary(mut self, path: impl Into<PathBuf>) -> Self {
        self.binary = Some(path.into());
        self
    }

    /// Starts it and waits until all its doors listen.
    ///
    /// # Panics
    /// If it does not come up; the message holds its log.
    pub async fn start(self) -> Server {
        let folder = self.folder.unwrap_or_else(|| Arc::new(DataFolder::new()));
        let binary = self.binary.unwrap_or_else(clients::server_binary);
        let mut serve = command(&binary);
        serve
            .args(["serve", "--http", "127.0.0.1:0", "--api", "127.0.0.1:0", "--s3", "127.0.0.1:0", "--data"])
            .arg(folder.path());
        if let Some(settings) = self.settings {
            let path = folder.path().join("settings.toml");
            fs::write(&path, settings).expect("write the settings file");
            serve.arg("--config").arg(path);
        }
        let mut child = serve
            .args(&self.arguments)
            .env_clear()
            .envs(surroundings(&folder))
            .env("SKERRY_WORKERD", Clients::find().workerd())
            .envs(&self.variables)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("start {}: {error}", binary.display()));
        let log = Log::default();
        let copy = folder.path().join("server.log");
        log.follow(child.stdout.take().expect("stdout is a pipe"), &copy);
        log.follow(child.stderr.take().expect("stderr is a pipe"), &copy);
        let addresses = doors(&mut child, &folder, &log).await;
        let environment = environment(&binary, &folder, &self.variables);
        Server { child, folder, log, addresses, environment }
    }
}

impl Server {
    /// Starts a server with all defaults in a new folder.
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    /// A server that is to be started with something special.
    #[must_use]
    pub fn builder() -> ServerBuilder {
        ServerBuilder::default()
    }

    /// Its folder, for a restart in the same place.
    #[must_use]
    pub fn folder(&self) -> Arc<DataFolder> {
        Arc::clone(&self.folder)
    }

    /// What it printed.
    #[must_use]
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// The public door as `host:port`.
    #[must_use]
    pub fn http(&self) -> &str {
        without_scheme(&self.addresses.http)
    }

    /// The v4 API as `host:port`.
    #[must_use]
    pub fn api_address(&self) -> &str {
        without_scheme(&self.addresses.api)
    }

    /// R2's S3 API, an origin.
    #[must_use]
    pub fn s3(&self) -> &str {
        &self.addresses.s3
    }

    /// What `skerry env` exports.
    #[must_use]
    pub fn environment(&self) -> &BTreeMap<String, String> {
        &self.environment
    }

    /// The account's id.
    #[must_use]
    pub fn account(&self) -> &str {
        self.exported("CLOUDFLARE_ACCOUNT_ID")
    }

    /// The first token.
    #[must_use]
    pub fn token(&self) -> &str {
        self.exported("CLOUDFLARE_API_TOKEN")
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How much memory it has resident, in bytes.
    ///
    /// # Panics
    /// If it has ended.
    #[must_use]
    pub fn resident_bytes(&self) -> u64 {
        resident_bytes(self.pid()).expect("the server runs")
    }

    /// How much of that is heap and stack rather than pages of the program, in bytes.
    ///
    /// # Panics
    /// If it has ended.
    #[must_use]
    pub fn anonymous_bytes(&self) -> u64 {
        anonymous_bytes(self.pid()).expect("the server runs")
    }

    /// Its engine processes.
    #[must_use]
    pub fn children(&self) -> Vec<Process> {
        children_of(self.pid()).into_iter().filter(|child| child.name == "workerd").collect()
    }

    /// GETs a path of a Worker.
    pub async fn get(&self, host: &str, path: &str) -> Answer {
        let request = Request::get(path).header(header::HOST, host).body(Bytes::new());
        self.send(request.expect("a valid path and host")).await
    }

    /// Sends a request to the public door; its `Host` must be set.
    pub async fn send(&self, request: Request<Bytes>) -> Answer {
        http_client::send(self.http(), request).await
    }

    /// A connection to the public door, for streams and requests that follow each other.
    pub async fn connect<B>(&self) -> Connection<B>
    where
        B: hyper::body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        Connection::open(self.http()).await
    }

    /// Sends bytes as they are to the public door.
    pub async fn raw(&self, bytes: &[u8]) -> RawAnswer {
        http_client::raw_exchange(self.http(), bytes).await
    }

    /// Opens a WebSocket to a Worker.
    pub async fn websocket(&self, host: &str, path: &str) -> WebSocket {
        WebSocket::open(self.http(), host, path).await
    }

    /// Calls the v4 API with the token. `path` follows `/client/v4`; `{account}` in it becomes the account's id.
    pub async fn api(&self, method: Method, path: &str, body: Option<&Value>) -> Answer {
        let request = self.api_request(method, path).header(header::CONTENT_TYPE, "application/json");
        let body = body.map(ToString::to_string).unwrap_or_default();
        http_client::send(self.api_address(), request.body(body.into()).expect("a valid path")).await
    }

    /// The beginning of a v4 request, with host and token.
    #[must_use]
    pub fn api_request(&self, method: Method, path: &str) -> http::request::Builder {
        let path = format!("/client/v4{}", path.replace("{account}", self.account()));
        Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, self.api_address())
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token()))
    }

    /// Uploads and deploys a script; it answers at `<name>.localhost`.
    ///
    /// # Panics
    /// If it is refused.
    pub async fn deploy(&self, script: &Script) -> Value {
        let name = &script.name;
        let answer = self.try_deploy(script).await;
        assert!(answer.status.is_success(), "deploying `{name}`: {} {}", answer.status, answer.text());
        let path = format!("/accounts/{{account}}/workers/scripts/{name}/subdomain");
        let enabled = self.api(Method::POST, &path, Some(&json!({ "enabled": true }))).await;
        assert!(enabled.status.is_success(), "giving `{name}` its host: {}", enabled.text());
        answer.json()
    }

    /// Uploads a script; the answer may be a refusal.
    pub async fn try_deploy(&self, script: &Script) -> Answer {
        let (content_type, body) = script.multipart();
        let path = format!("/accounts/{{account}}/workers/scripts/{}", script.name);
        let request = self.api_request(Method::PUT, &path).header(header::CONTENT_TYPE, content_type);
        http_client::send(self.api_address(), request.body(body.into()).expect("a valid name")).await
    }

    /// A command of the real wrangler in the folder `project`, pointed at this server.
    #[must_use]
    pub fn wrangler(&self, wrangler: Wrangler, project: &std::path::Path) -> WranglerCommand {
        wrangler.command(project, &self.environment)
    }

    /// Ends it as an operator would (SIGTERM) and asserts that it ends well: exit code 0, and no complaint in its log that
    /// the test did not announce.
    ///
    /// # Panics
    /// If it does not.
    pub async fn stop(mut self) -> Arc<DataFolder> {
        self.signal(Signal::TERM);
        let status = self.ended().await;
        assert!(status.success(), "the server ended with {status}:\n{}", self.log.lines().join("\n"));
        self.log.assert_quiet();
        self.folder()
    }

    /// Ends it as a power failure would (SIGKILL).
    pub async fn kill(mut self) -> Arc<DataFolder> {
        self.signal(Signal::KILL);
        self.ended().await;
        self.folder()
    }

    /// Sends its process a signal.
    ///
    /// # Panics
    /// If the process has ended.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("signal the server");
    }

    /// Waits until its process has ended.
    pub async fn ended(&mut self) -> ExitStatus {
        let child = &mut self.child;
        let mut status = None;
        wait_until("the server's end", STOP_LIMIT, || {
            status = child.try_wait().expect("look after the server");
            status.is_some()
        })
        .await;
        status.expect("the wait ends with a status")
    }

    fn exported(&self, name: &str) -> &str {
        self.environment.get(name).unwrap_or_else(|| panic!("`skerry env` exports no {name}"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A server that has ended already is no error.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits for `run/addresses.json` of this very process: an earlier one, killed, left its own behind.
async fn doors(child: &mut Child, folder: &DataFolder, log: &Log) -> Addresses {
    let path = folder.path().join("run/addresses.json");
    let read = || serde_json::from_slice::<Addresses>(&fs::read(&path).ok()?).ok();
    let mut addresses = None;
    wait_until("the server's doors", START_LIMIT, || {
        if let Some(status) = child.try_wait().expect("look after the server") {
            panic!("the server ended with {status}:\n{}", log.lines().join("\n"));
        }
        addresses = read().filter(|found| found.pid == child.id());
        addresses.is_some()
    })
    .await;
    addresses.expect("the wait ends with the addresses")
}

/// Runs `skerry env` and reads its `export NAME=value` lines.
fn environment(
    binary: &std::path::Path,
    folder: &DataFolder,
    variables: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let mut env = command(binary);
    let output =
        env.args(["env", "--data"]).arg(folder.path()).envs(variables).output().expect("run skerry env");
    let (text, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "skerry env: {}\n{text}{errors}", output.status);
    let pairs = text.lines().filter_map(|line| line.strip_prefix("export ")?.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.trim_matches(['\'', '"']).to_owned())).collect()
}

/// What a server sees of the developer's environment: nothing but where programs are.
fn surroundings(folder: &DataFolder) -> [(&'static str, OsString); 4] {
    [
        ("PATH", clients::search_path()),
        ("HOME", folder.path().into()),
        ("NO_COLOR", "1".into()),
        ("RUST_BACKTRACE", "1".into()),
    ]
}

fn without_scheme(origin: &str) -> &str {
    origin.strip_prefix("http://").unwrap_or(origin)
}
