//! The sides of the comparison: the same Workers on Skerry, on bare workerd, on workerd with its bundled KV, and under
//! `wrangler dev`.

use std::{collections::BTreeMap, fs, path::Path, process::Command, time::Duration};

use anyhow::{Context as _, bail};
use http::Method;
use serde_json::json;
use testkit::{
    BUNDLED_D1_SERVICES, BUNDLED_FOLDERS, BUNDLED_KV_SERVICES, Background, Clients, DataFolder, Project,
    Script, Server, Wrangler, bundled_d1_binding, command,
};

use crate::{
    durable::Durable,
    load::{self, Target},
    objects::{self, Objects},
};

/// What is measured, by whom it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Side {
    SkerryNoop,
    BareNoop,
    BareAlike,
    DevNoop,
    SkerryGet,
    BundledGet,
    SkerryPut,
    BundledPut,
    SkerrySelect,
    BundledSelect,
    SkerryInsert,
    BundledInsert,
    SkerryCall,
    BareCall,
    SkerryBoundFetch,
    BareBoundFetch,
    DurableRead,
    BareDurableRead,
    DurableWrite,
    BareDurableWrite,
    DurableWrites,
    BareDurableWrites,
    S3Get,
    NginxGet,
    S3GetSmall,
    NginxGetSmall,
    S3Put,
    S3PutSmall,
    DiskSync,
    LoopPut,
    SkerryCold,
    BareCold,
    RoomGet,
    BareGet,
    RoomPut,
    BarePut,
    RoomPutP99,
    RoomList,
    RoomGrowth,
    SqlSelect,
    BareSelect,
    SqlBatch,
    BareBatch,
    SqlColdOpen,
    ListPage,
    SkerryDeploy,
    DurableGap,
    SkerryAsleep,
    SocketKib,
    SocketEngineKib,
    BareSocketKib,
}

/// What a figure counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    PerSecond,
    Milliseconds,
    Mebibytes,
    Kibibytes,
}

impl Side {
    /// What its figure counts.
    pub(crate) fn unit(self) -> Unit {
        match self {
            Self::SkerryCold
            | Self::BareCold
            | Self::SkerryDeploy
            | Self::DurableGap
            | Self::RoomPutP99
            | Self::SqlColdOpen
            | Self::ListPage => Unit::Milliseconds,
            Self::RoomGrowth | Self::SkerryAsleep => Unit::Mebibytes,
            Self::SocketKib | Self::SocketEngineKib | Self::BareSocketKib => Unit::Kibibytes,
            _ => Unit::PerSecond,
        }
    }

    /// Whether it does the same again and again for as long as it is asked.
    pub(crate) fn is_loaded(self) -> bool {
        self <= Self::LoopPut
    }

    /// Whether it calls Durable Objects.
    fn is_durable(self) -> bool {
        (Self::DurableRead..=Self::BareDurableWrites).contains(&self)
    }

    /// Whether it serves R2's objects, or files like them.
    fn is_of_objects(self) -> bool {
        (Self::S3Get..=Self::S3PutSmall).contains(&self)
    }

    /// Whether it is what a hibernated WebSocket holds.
    pub(crate) fn is_of_sockets(self) -> bool {
        (Self::SocketKib..=Self::BareSocketKib).contains(&self)
    }

    /// Whether it is D1's room without workerd, or what that is held against.
    pub(crate) fn is_sql(self) -> bool {
        (Self::SqlSelect..=Self::SqlColdOpen).contains(&self)
    }

    /// Whether it is KV's room without workerd, or what that is held against.
    pub(crate) fn is_room(self) -> bool {
        (Self::RoomGet..=Self::RoomGrowth).contains(&self)
    }
}

/// The Worker that does nothing.
pub(crate) const NOOP: &str = "export default { fetch() { return new Response('ok'); } };\n";

/// The Worker that reads one key again and again, and writes one after the other.
const KV: &str = "
const value = 'v'.repeat(1024);
let next = 0;
export default {
  async fetch(request, { KV }) {
    if (request.url.endsWith('/get')) return new Response(await KV.get('hot'));
    if (request.url.endsWith('/fill')) await KV.put('hot', value);
    else await KV.put(`key-${next++ % 1000}`, value);
    return new Response('ok');
  },
};
";

/// The Worker that reads one row by its key again and again, and inserts one after the other.
const D1: &str = "
const name = 'n'.repeat(100);
export default {
  async fetch(request, { DB }) {
    if (request.url.endsWith('/select')) {
      const row = await DB.prepare('SELECT id, name, age FROM user WHERE id = ?').bind(500).first();
      return new Response(row.name);
    }
    if (request.url.endsWith('/insert')) {
      await DB.prepare('INSERT INTO user (name, age) VALUES (?, ?)').bind(name, 7).run();
      return new Response('ok');
    }
    await DB.exec('CREATE TABLE IF NOT EXISTS user (id INTEGER PRIMARY KEY, name TEXT, age INTEGER)');
    const insert = DB.prepare('INSERT INTO user (name, age) VALUES (?, ?)').bind(name, 7);
    await DB.batch(Array(1000).fill(insert));
    return new Response('ok');
  },
};
";

/// The Worker that asks another one, by a call or by a request.
const CALLER: &str = "
export default {
  async fetch(request, { TARGET }) {
    if (request.url.endsWith('/call')) return new Response(await TARGET.answer());
    return TARGET.fetch('http://target/');
  },
};
";

/// The Worker that it asks.
const CALLED: &str = "
import { WorkerEntrypoint } from 'cloudflare:workers';
export default class extends WorkerEntrypoint {
  fetch() { return new Response('ok'); }
  answer() { return 'ok'; }
}
";

/// The headers that our ingress adds: bare workerd has to read as much for each request as behind us.
const INGRESS_HEADERS: &[(&str, &str)] = &[
    ("x-cf", r#"{"colo":"LOCAL","httpProtocol":"HTTP/1.1","country":"XX","tlsVersion":"","tlsCipher":""}"#),
    ("x-proto", "http"),
];

/// Those and what else a Worker behind us sees in a request without headers of its own.
const ALL_INGRESS_HEADERS: &[(&str, &str)] = &[
    INGRESS_HEADERS[0],
    INGRESS_HEADERS[1],
    ("x-forwarded-proto", "http"),
    ("x-real-ip", "127.0.0.1"),
    ("cf-connecting-ip", "127.0.0.1"),
    ("cf-visitor", r#"{"scheme":"http"}"#),
    ("cf-ray", "0123456789abcdef-LOC"),
];

/// How long a side may take until it answers.
const START_LIMIT: Duration = Duration::from_secs(60);

/// The sides that run.
#[derive(Debug, Default)]
pub(crate) struct Sides {
    skerry: Option<Server>,
    bare: Option<Workerd>,
    pair: Option<Workerd>,
    bundled: Option<Workerd>,
    bundled_d1: Option<Workerd>,
    dev: Option<(Background, Project, String)>,
    durable: Option<Durable>,
    objects: Option<Objects>,
}

impl Sides {
    /// Starts what the given sides need.
    pub(crate) async fn start(needed: &[Side]) -> anyhow::Result<Self> {
        let needs = |sides: &[Side]| needed.iter().any(|side| sides.contains(side));
        let mut started = Self::default();
        if needs(&[
            Side::SkerryNoop,
            Side::SkerryGet,
            Side::SkerryPut,
            Side::SkerrySelect,
            Side::SkerryInsert,
            Side::SkerryCall,
            Side::SkerryBoundFetch,
        ]) {
            started.skerry = Some(skerry().await?);
        }
        if needs(&[Side::BareNoop, Side::BareAlike]) {
            started.bare = Some(Workerd::start(&bare_config(), &[("worker.js", NOOP)]).await?);
        }
        if needs(&[Side::BareCall, Side::BareBoundFetch]) {
            let files = [("worker.js", CALLER), ("target.js", CALLED)];
            started.pair = Some(Workerd::start(PAIR_CONFIG, &files).await?);
        }
        if needs(&[Side::BundledGet, Side::BundledPut]) {
            let workerd = Workerd::start(&bundled_config(), &[("worker.js", KV)]).await?;
            load::once(&workerd.target("/fill")).await?;
            started.bundled = Some(workerd);
        }
        if needs(&[Side::BundledSelect, Side::BundledInsert]) {
            let workerd = Workerd::start(&bundled_d1_config(), &[("worker.js", D1)]).await?;
            load::once(&workerd.target("/fill")).await?;
            started.bundled_d1 = Some(workerd);
        }
        if needed.iter().any(|side| side.is_durable()) {
            started.durable = Some(Durable::start().await?);
        }
        if needed.iter().any(|side| side.is_of_objects()) {
            started.objects = Some(Objects::start().await?);
        }
        if needs(&[Side::DevNoop]) {
            started.dev = Some(dev().await?);
        }
        Ok(started)
    }

    /// Loads a side for a while; how often a second it did what it does.
    pub(crate) async fn rate(&self, side: Side, duration: Duration) -> anyhow::Result<f64> {
        match side {
            Side::LoopPut => objects::loop_puts(duration),
            Side::DiskSync => objects::syncs(duration),
            side => load::run(&self.target(side)?, duration).await,
        }
    }

    /// Where the load of a side goes.
    fn target(&self, side: Side) -> anyhow::Result<Target> {
        let skerry = |host: &str, path| {
            let server = self.skerry.as_ref().context("Skerry was not started")?;
            Ok(Target::get(server.http(), host, path))
        };
        match side {
            Side::SkerryNoop => skerry("noop.localhost", "/"),
            Side::SkerryGet => skerry("kv.localhost", "/get"),
            Side::SkerryPut => skerry("kv.localhost", "/put"),
            Side::SkerrySelect => skerry("d1.localhost", "/select"),
            Side::SkerryInsert => skerry("d1.localhost", "/insert"),
            Side::BundledSelect => {
                Ok(self.bundled_d1.as_ref().context("bundled D1 was not started")?.target("/select"))
            }
            Side::BundledInsert => {
                Ok(self.bundled_d1.as_ref().context("bundled D1 was not started")?.target("/insert"))
            }
            Side::BareNoop => Ok(self.bare.as_ref().context("workerd was not started")?.target("/")),
            Side::BareAlike => {
                let bare = self.bare.as_ref().context("workerd was not started")?.target("/");
                Ok(Target { headers: ALL_INGRESS_HEADERS, ..bare })
            }
            Side::SkerryCall => skerry("caller.localhost", "/call"),
            Side::SkerryBoundFetch => skerry("caller.localhost", "/fetch"),
            Side::BareCall => Ok(self.pair.as_ref().context("workerd was not started")?.target("/call")),
            Side::BareBoundFetch => {
                Ok(self.pair.as_ref().context("workerd was not started")?.target("/fetch"))
            }
            Side::BundledGet => {
                Ok(self.bundled.as_ref().context("bundled KV was not started")?.target("/get"))
            }
            Side::BundledPut => {
                Ok(self.bundled.as_ref().context("bundled KV was not started")?.target("/put"))
            }
            Side::DevNoop => {
                let (_, _, address) = self.dev.as_ref().context("wrangler dev was not started")?;
                Ok(Target::get(address, address, "/"))
            }
            side if side.is_durable() => self.durable.as_ref().context("no Durable Objects")?.target(side),
            Side::S3Get
            | Side::NginxGet
            | Side::S3GetSmall
            | Side::NginxGetSmall
            | Side::S3Put
            | Side::S3PutSmall => self.objects.as_ref().context("the objects were not made")?.target(side),
            _ => bail!("{side:?} is not a matter of load"),
        }
    }
}

async fn skerry() -> anyhow::Result<Server> {
    let server = Server::start().await;
    server.deploy(&Script::module("noop", NOOP)).await;
    let path = "/accounts/{account}/storage/kv/namespaces";
    let namespace = server.api(Method::POST, path, Some(&json!({ "title": "bench" }))).await.json();
    let id = namespace["result"]["id"].as_str().context("no namespace was created")?;
    let binding = json!({ "type": "kv_namespace", "name": "KV", "namespace_id": id });
    server.deploy(&Script::module("kv", KV).binding(binding)).await;
    let _ = server.get("kv.localhost", "/fill").await.expect(200);
    let path = "/accounts/{account}/d1/database";
    let database = server.api(Method::POST, path, Some(&json!({ "name": "bench" }))).await.json();
    let id = database["result"]["uuid"].as_str().context("no database was created")?;
    let binding = json!({ "type": "d1", "name": "DB", "id": id });
    server.deploy(&Script::module("d1", D1).binding(binding)).await;
    let _ = server.get("d1.localhost", "/fill").await.expect(200);
    server.deploy(&Script::module("called", CALLED)).await;
    let binding = json!({ "type": "service", "name": "TARGET", "service": "called" });
    server.deploy(&Script::module("caller", CALLER).binding(binding)).await;
    Ok(server)
}

async fn dev() -> anyhow::Result<(Background, Project, String)> {
    let project = Project::new().file("worker.js", NOOP).file(
        "wrangler.toml",
        "name = \"noop\"\nmain = \"worker.js\"\ncompatibility_date = \"2026-11-01\"\n",
    );
    let command = Wrangler::New.command(project.path(), &BTreeMap::new());
    let dev = command.args(["dev", "--ip", "127.0.0.1", "--port", "0"]).start();
    let ready = dev.log().wait_for("Ready on http://", START_LIMIT).await;
    let (_, address) = ready.split_once("http://").context("wrangler dev is ready nowhere")?;
    Ok((dev, project, address.trim().to_owned()))
}

/// A workerd of its own with its config as a binary message, as we give it to ours.
#[derive(Debug)]
pub(crate) struct Workerd {
    process: Background,
    port: u64,
}

impl Workerd {
    /// Starts one and waits until it listens.
    pub(crate) async fn start(config: &str, files: &[(&str, &str)]) -> anyhow::Result<Self> {
        Self::spawn(Prepared::new(config, files)?).await
    }

    /// Starts one whose config was prepared before.
    pub(crate) async fn spawn(prepared: Prepared) -> anyhow::Result<Self> {
        let Prepared { command, folder } = prepared;
        let process = Background::start(command, folder);
        let ready = process.log().wait_for("\"listen\"", START_LIMIT).await;
        let event: serde_json::Value =
            serde_json::from_str(&ready).context("parse workerd's announcement")?;
        let port = event["port"].as_u64().context("workerd announced no port")?;
        Ok(Self { process, port })
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// A path of the Worker behind its only socket.
    pub(crate) fn target(&self, path: &'static str) -> Target {
        let address = format!("127.0.0.1:{}", self.port);
        Target { headers: INGRESS_HEADERS, ..Target::get(address.clone(), address, path) }
    }
}

/// A workerd that only has to be started.
#[derive(Debug)]
pub(crate) struct Prepared {
    command: Command,
    folder: DataFolder,
}

impl Prepared {
    /// Compiles a text config (`http` is the socket's name) and lays out its files.
    pub(crate) fn new(config: &str, files: &[(&str, &str)]) -> anyhow::Result<Self> {
        let folder = DataFolder::new();
        for (name, content) in files.iter().chain(&[("config.capnp", config)]) {
            fs::write(folder.path().join(name), content).with_context(|| format!("write {name}"))?;
        }
        for name in BUNDLED_FOLDERS {
            fs::create_dir(folder.path().join(name)).with_context(|| format!("create {name}"))?;
        }
        let binary = folder.path().join("config.bin");
        compile(folder.path(), &binary)?;
        let mut serve = command(Clients::find().workerd());
        serve.args(["serve", "--experimental", "--binary", "-", "--control-fd=1"]);
        serve.arg("--socket-addr=http=127.0.0.1:0").current_dir(folder.path());
        serve.stdin(fs::File::open(&binary).context("open the compiled config")?);
        Ok(Self { command: serve, folder })
    }
}

fn compile(folder: &Path, binary: &Path) -> anyhow::Result<()> {
    let output = command(Clients::find().workerd())
        .args(["compile", "--config-only", "config.capnp"])
        .current_dir(folder)
        .output()
        .context("start workerd compile")?;
    if !output.status.success() {
        bail!("workerd compile: {}", String::from_utf8_lossy(&output.stderr));
    }
    fs::write(binary, output.stdout).context("write the compiled config")
}

/// Bare workerd with the options that our sockets have.
pub(crate) fn bare_config() -> String {
    r#"using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "noop", worker = (
    modules = [(name = "worker.js", esModule = embed "worker.js")],
    compatibilityDate = "2026-11-01"))],
  sockets = [(name = "http", service = "noop",
    http = (cfBlobHeader = "x-cf", forwardedProtoHeader = "x-proto"))]);
"#
    .to_owned()
}

/// One workerd with two Workers, one bound to the other.
const PAIR_CONFIG: &str = r#"using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "caller", worker = (
      modules = [(name = "worker.js", esModule = embed "worker.js")],
      compatibilityDate = "2026-11-01", bindings = [(name = "TARGET", service = "called")])),
    (name = "called", worker = (
      modules = [(name = "target.js", esModule = embed "target.js")],
      compatibilityDate = "2026-11-01"))],
  sockets = [(name = "http", service = "caller",
    http = (cfBlobHeader = "x-cf", forwardedProtoHeader = "x-proto"))]);
"#;

/// workerd with its own KV.
fn bundled_config() -> String {
    format!(
        r#"using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "app", worker = (
      modules = [(name = "worker.js", esModule = embed "worker.js")],
      compatibilityDate = "2026-11-01",
      bindings = [(name = "KV", kvNamespace = (name = "kv", props = (json = "{{\"namespace\":\"ns1\"}}")))])),
    {BUNDLED_KV_SERVICES}],
  sockets = [(name = "http", service = "app",
    http = (cfBlobHeader = "x-cf", forwardedProtoHeader = "x-proto"))]);
"#
    )
}

/// workerd with its own D1: likewise.
fn bundled_d1_config() -> String {
    let binding = bundled_d1_binding("bench");
    format!(
        r#"using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "app", worker = (
      modules = [(name = "worker.js", esModule = embed "worker.js")],
      compatibilityDate = "2026-11-01", bindings = [(name = "DB", {binding})])),
    {BUNDLED_D1_SERVICES}],
  sockets = [(name = "http", service = "app",
    http = (cfBlobHeader = "x-cf", forwardedProtoHeader = "x-proto"))]);
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The other sides must keep working while ours changes: a side that answers errors would be no comparison.
    #[tokio::test]
    async fn the_other_sides_answer() {
        let needed = [
            Side::BareNoop,
            Side::BareAlike,
            Side::BareCall,
            Side::BareBoundFetch,
            Side::BundledGet,
            Side::BundledPut,
            Side::BundledSelect,
            Side::BundledInsert,
            Side::DevNoop,
        ];
        let sides = Sides::start(&needed).await.unwrap();
        for side in needed {
            let rate = sides.rate(side, Duration::from_millis(200)).await.unwrap();
            assert!(0.0 < rate, "{side:?} answered nothing");
        }
    }
}
