//! Objects over S3, against nginx serving the same bytes from files, and against a loop that makes files as safe.

use std::{
    fs,
    io::Write as _,
    net::TcpListener,
    path::Path,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::Method;
use md5::{Digest as _, Md5};
use serde_json::json;
use sha2::Sha256;
use testkit::{Background, DataFolder, Server, command, send};
use time::{OffsetDateTime, format_description::BorrowedFormatItem, macros::format_description};

use crate::{
    load::{CONNECTIONS, Target, now},
    sides::Side,
};

const LARGE_BYTES: usize = 1024 * 1024;
const SMALL_BYTES: usize = 1024;

/// How long nginx may take to listen.
const START_LIMIT: Duration = Duration::from_secs(10);

/// The sides that serve objects.
#[derive(Debug)]
pub(crate) struct Objects {
    server: Server,
    /// `None` where it is not installed: then its rows cannot be measured.
    nginx: Option<Nginx>,
}

impl Objects {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let server = Server::start().await;
        let buckets = "/accounts/{account}/r2/buckets";
        let _ = server.api(Method::POST, buckets, Some(&json!({ "name": "bench" }))).await.expect(200);
        for (name, bytes) in [("large", LARGE_BYTES), ("small", SMALL_BYTES)] {
            let put = server.api_request(Method::PUT, &format!("{buckets}/bench/objects/{name}"));
            let _ = send(server.api_address(), put.body(content(bytes))?).await.expect(200);
        }
        let nginx = Nginx::start().await?;
        Ok(Self { server, nginx })
    }

    /// Where the load of a side goes.
    pub(crate) fn target(&self, side: Side) -> anyhow::Result<Target> {
        let nginx = |path| {
            let nginx = self
                .nginx
                .as_ref()
                .context("nginx is not installed (Debian: apt-get install nginx-light)")?;
            Ok(Target::get(nginx.address.clone(), nginx.address.clone(), path))
        };
        match side {
            Side::S3Get => Ok(self.s3(&Method::GET, &["large".to_owned()])),
            Side::S3GetSmall => Ok(self.s3(&Method::GET, &["small".to_owned()])),
            Side::S3Put => Ok(self.s3_puts("put", LARGE_BYTES)),
            Side::S3PutSmall => Ok(self.s3_puts("small", SMALL_BYTES)),
            Side::NginxGet => nginx("/large"),
            Side::NginxGetSmall => nginx("/small"),
            _ => bail!("{side:?} serves no objects"),
        }
    }

    fn s3_puts(&self, name: &str, bytes: usize) -> Target {
        let keys: Vec<_> = (0..CONNECTIONS).map(|number| format!("{name}-{number}")).collect();
        Target { body: content(bytes), ..self.s3(&Method::PUT, &keys) }
    }

    /// Presigned addresses: that signatures are verified is the server's cost, that they are made is not the client's.
    fn s3(&self, method: &Method, keys: &[String]) -> Target {
        let address = self.server.s3().trim_start_matches("http://").to_owned();
        let environment = self.server.environment();
        let (id, secret) = (&environment["AWS_ACCESS_KEY_ID"], &environment["AWS_SECRET_ACCESS_KEY"]);
        let sign = |key: &String| presign(method, &address, &format!("/bench/{key}"), id, secret);
        let paths = keys.iter().map(sign).collect();
        Target { method: method.clone(), paths, ..Target::get(address.clone(), address.clone(), "") }
    }
}

#[derive(Debug)]
struct Nginx {
    _process: Background,
    address: String,
}

impl Nginx {
    async fn start() -> anyhow::Result<Option<Self>> {
        if command("nginx").arg("-v").output().is_err() {
            return Ok(None);
        }
        let folder = DataFolder::new();
        for (name, bytes) in [("large", LARGE_BYTES), ("small", SMALL_BYTES)] {
            fs::write(folder.path().join(name), content(bytes)).context("write a file for nginx")?;
        }
        // nginx does not say which port it got for 0.
        let address = TcpListener::bind("127.0.0.1:0").context("find a port")?.local_addr()?.to_string();
        let config = folder.path().join("nginx.conf");
        fs::write(&config, nginx_config(&address, folder.path())).context("write nginx's configuration")?;
        let mut nginx = command("nginx");
        nginx.arg("-c").arg(&config).arg("-p").arg(folder.path());
        let process = Background::start(nginx, folder);
        let is_up = || std::net::TcpStream::connect(&address).is_ok();
        testkit::wait_until("nginx listens", START_LIMIT, is_up).await;
        Ok(Some(Self { _process: process, address }))
    }
}

fn nginx_config(address: &str, root: &Path) -> String {
    let root = root.display();
    format!(
        "daemon off; pid {root}/pid; error_log stderr; user root; worker_processes auto;
events {{ worker_connections 1024; }}
http {{
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000;
  server {{ listen {address}; root {root}; default_type application/octet-stream; }}
}}
"
    )
}

/// Makes files on as many threads as there are connections; files a second.
pub(crate) fn loop_puts(duration: Duration) -> anyhow::Result<f64> {
    let folder = DataFolder::new();
    let content = content(LARGE_BYTES);
    let made = AtomicU32::new(0);
    let begun = now();
    std::thread::scope(|scope| {
        let put = |number: usize| -> anyhow::Result<()> {
            let (temporary, path) =
                (folder.path().join(format!("{number}.tmp")), folder.path().join(number.to_string()));
            while begun.elapsed() < duration {
                std::hint::black_box(Md5::digest(&content));
                let mut file = fs::File::create(&temporary)?;
                file.write_all(&content)?;
                file.sync_all()?;
                fs::rename(&temporary, &path)?;
                fs::File::open(folder.path())?.sync_all()?;
                made.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        };
        let threads: Vec<_> = (0..CONNECTIONS).map(|number| scope.spawn(move || put(number))).collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("no panic"))
    })?;
    Ok(f64::from(made.into_inner()) / begun.elapsed().as_secs_f64())
}

/// Appends a page to a file and syncs it, again and again; syncs a second.
pub(crate) fn syncs(duration: Duration) -> anyhow::Result<f64> {
    let folder = DataFolder::new();
    let page = content(4096);
    let mut file = fs::File::create(folder.path().join("log"))?;
    let (begun, mut made) = (now(), 0_u32);
    while begun.elapsed() < duration {
        file.write_all(&page)?;
        file.sync_data()?;
        made += 1;
    }
    Ok(f64::from(made) / begun.elapsed().as_secs_f64())
}

fn content(bytes: usize) -> Bytes {
    (0..bytes).map(|at| u8::try_from(at % 251).expect("a byte")).collect()
}

const STAMP: &[BorrowedFormatItem<'_>] = format_description!("[year][month][day]T[hour][minute][second]Z");

/// A path with the signature in its query (AWS: SigV4, query parameters), good for an hour.
fn presign(method: &Method, host: &str, path: &str, id: &str, secret: &str) -> String {
    let stamp = OffsetDateTime::now_utc().format(STAMP).expect("a date");
    let day = &stamp[..8];
    let scope = format!("{day}/auto/s3/aws4_request");
    let query = format!(
        "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={id}%2F{scope}&X-Amz-Date={stamp}&X-Amz-Expires=3600&X-Amz-SignedHeaders=host",
        scope = scope.replace('/', "%2F")
    );
    let request = format!("{method}\n{path}\n{query}\nhost:{host}\n\nhost\nUNSIGNED-PAYLOAD");
    let hash = hex::encode(Sha256::digest(request));
    let text = format!("AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hash}");
    let key = [day, "auto", "s3", "aws4_request"]
        .iter()
        .fold(format!("AWS4{secret}").into_bytes(), |key, part| sign(&key, part));
    format!("{path}?{query}&X-Amz-Signature={}", hex::encode(sign(&key, &text)))
}

fn sign(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any length");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}
