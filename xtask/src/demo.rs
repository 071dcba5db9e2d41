//! `cargo xtask demo`: what a newcomer would type, typed for them: start a server, deploy an example with the real wrangler,
//! ask it something.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Stdio},
    time::Duration,
};

use anyhow::{Context as _, bail};

use crate::{
    clients::{self, Clients},
    step, suites,
};

/// How long the server may take until all its doors listen.
const START_WAIT: Duration = Duration::from_secs(30);

/// How long the deployed Worker may take to answer for the first time.
const ANSWER_WAIT: Duration = Duration::from_secs(30);

const EXAMPLE: &str = "hono-kv";
const HOST: &str = "hono-kv.localhost";

/// Runs the demonstration; without `once` the server keeps running until Ctrl-C.
pub(crate) fn run(once: bool) -> anyhow::Result<()> {
    let clients = clients::install()?;
    suites::examples()?;
    suites::build(&["build", "--package", "cli", "--quiet"])?;
    let data = fresh_folder()?;
    let mut server = Server::start(&clients, &data)?;
    let variables = server.environment()?;
    deploy(&clients, &variables)?;
    let http = server.addresses()?;
    let session =
        answer(&http, "POST", "/v1/sessions", r#"{"email":"ada@example.com","name":"Ada Lovelace"}"#)?;
    show(&http, "POST", "/v1/sessions", &session);
    let health = answer(&http, "GET", "/health", "")?;
    show(&http, "GET", "/health", &health);
    if !session.starts_with("201") || !health.starts_with("200") {
        bail!("the example did not answer as it should; the server's log is {}", server.log.display());
    }
    step::say("\nDeployed with the unmodified wrangler, answered by workerd, stored by Skerry.");
    if once {
        return server.stop();
    }
    let port = http.rsplit(':').next().unwrap_or_default();
    step::say(&format!("\n  the Worker   http://{HOST}:{port}"));
    step::say(&format!("  your turn    eval \"$(target/debug/skerry env --data {})\"", data.display()));
    step::say("               cd examples/hono-kv && npm ci && npx wrangler deploy");
    step::say("  the end      Ctrl-C");
    server.child.wait().context("wait for the server")?;
    Ok(())
}

struct Server {
    child: Child,
    data: PathBuf,
    log: PathBuf,
}

impl Server {
    fn start(clients: &Clients, data: &Path) -> anyhow::Result<Self> {
        let log = data.join("server.log");
        let output = fs::File::create(&log).with_context(|| format!("create {}", log.display()))?;
        let mut command = step::program(skerry());
        command.args(["serve", "--http", "127.0.0.1:0", "--api", "127.0.0.1:0", "--data"]).arg(data);
        command.env("SKERRY_WORKERD", clients.workerd()).stdin(Stdio::null());
        command.stdout(output.try_clone().context("share the log file")?).stderr(output);
        let child = command.spawn().context("start skerry")?;
        let mut server = Self { child, data: data.to_owned(), log };
        step::timed("skerry serve", || server.wait_for_doors())?;
        Ok(server)
    }

    fn wait_for_doors(&mut self) -> anyhow::Result<()> {
        let is_late = step::deadline(START_WAIT);
        while self.addresses().is_err() {
            if let Some(status) = self.child.try_wait().context("look after the server")? {
                bail!("skerry ended with {status}:\n{}", fs::read_to_string(&self.log).unwrap_or_default());
            }
            if is_late() {
                bail!("skerry does not listen; its log is {}", self.log.display());
            }
            step::pause();
        }
        Ok(())
    }

    /// The public door, as `host:port`.
    fn addresses(&self) -> anyhow::Result<String> {
        let path = self.data.join("run/addresses.json");
        let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        let addresses: serde_json::Value = serde_json::from_str(&text).context("parse addresses.json")?;
        let http = addresses["http"].as_str().and_then(|origin| origin.strip_prefix("http://"));
        Ok(http.context("addresses.json has no plain http origin")?.to_owned())
    }

    /// What `skerry env` exports, as pairs.
    fn environment(&self) -> anyhow::Result<Vec<(String, String)>> {
        step::timed("skerry env", || {
            let output = step::program(skerry())
                .args(["env", "--data"])
                .arg(&self.data)
                .output()
                .context("start skerry env")?;
            let text = String::from_utf8(output.stdout).context("read what skerry env printed")?;
            let pairs = text.lines().filter_map(|line| line.strip_prefix("export ")?.split_once('='));
            Ok(pairs
                .map(|(name, value)| (name.to_owned(), value.trim_matches(['\'', '"']).to_owned()))
                .collect())
        })
    }

    /// SIGTERM, then waits for the end, which must be a clean one.
    fn stop(mut self) -> anyhow::Result<()> {
        step::timed("SIGTERM", || {
            let process = self.child.id().to_string();
            step::program("kill").args(["-TERM", &process]).status().context("start kill")?;
            let status = self.child.wait().context("wait for the server")?;
            if !status.success() {
                bail!("skerry ended with {status}; its log is {}", self.log.display());
            }
            Ok(())
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Ends a server whose demonstration failed; one that has ended already is no error.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn skerry() -> PathBuf {
    step::root().join("target/debug/skerry")
}

fn fresh_folder() -> anyhow::Result<PathBuf> {
    let data = step::root().join("target/demo");
    if data.exists() {
        fs::remove_dir_all(&data).with_context(|| format!("clear {}", data.display()))?;
    }
    fs::create_dir_all(&data).with_context(|| format!("create {}", data.display()))?;
    Ok(data)
}

/// The example is deployed from a copy beside its installed packages, so that the source tree stays clean.
fn deploy(clients: &Clients, variables: &[(String, String)]) -> anyhow::Result<()> {
    let project = suites::example(EXAMPLE);
    let source = step::root().join("examples").join(EXAMPLE);
    copy(&source.join("src"), &project.join("src"))?;
    fs::copy(source.join("wrangler.toml"), project.join("wrangler.toml")).context("copy wrangler.toml")?;
    let mut wrangler = step::program(clients.node());
    wrangler.arg(clients.wrangler()).arg("deploy").current_dir(&project).env("CI", "1");
    wrangler.envs(variables.iter().map(|(name, value)| (name, value)));
    step::quietly("wrangler deploy", &mut wrangler)
}

fn copy(source: &Path, target: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(target).with_context(|| format!("create {}", target.display()))?;
    for entry in fs::read_dir(source).with_context(|| format!("list {}", source.display()))? {
        let entry = entry.context("list the example")?;
        let path = target.join(entry.file_name());
        if entry.file_type().context("look at the example")?.is_dir() {
            copy(&entry.path(), &path)?;
        } else {
            fs::copy(entry.path(), &path).with_context(|| format!("copy to {}", path.display()))?;
        }
    }
    Ok(())
}

/// One request, as plain as HTTP gets; the answer's status line without the protocol, and its body.
fn answer(address: &str, method: &str, path: &str, body: &str) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(address).with_context(|| format!("connect to {address}"))?;
    stream.set_read_timeout(Some(ANSWER_WAIT)).context("set a deadline")?;
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.0\r\nHost: {HOST}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).context("send a request")?;
    let mut text = String::new();
    stream.read_to_string(&mut text).context("read the answer")?;
    let (head, body) = text.split_once("\r\n\r\n").context("the answer has no head")?;
    let status = head.lines().next().and_then(|line| line.split_once(' ')).map_or("", |(_, status)| status);
    Ok(format!("{status}\n{body}"))
}

fn show(address: &str, method: &str, path: &str, answer: &str) {
    step::say(&format!("\n{method} http://{address}{path}   (Host: {HOST})"));
    answer.lines().for_each(|line| step::say(&format!("  {line}")));
}
