//! pebble, Let's Encrypt's ACME server for tests, with its own DNS and gates to our doors.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU8, Ordering},
    time::Duration,
};

use rcgen::{CertificateParams, KeyPair};
use serde_json::json;
use testkit::{Background, DataFolder, Log, command, skip, wait_until};

use crate::{gate::Gate, resolver};

/// How long pebble may take to listen: it makes RSA keys.
const START_LIMIT: Duration = Duration::from_secs(30);

/// The key of the external account that pebble may ask for (its own example).
pub(crate) const EXTERNAL_KEY: &str = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";

/// How pebble is to behave.
#[derive(Default)]
pub(crate) struct Behaviour {
    /// How long certificates last; its default if there is none.
    pub(crate) validity_secs: Option<u32>,
    /// Whether accounts must be bound to an external one, `kid-1` with [`EXTERNAL_KEY`].
    pub(crate) asks_for_external_account: bool,
}

/// The ports that pebble listens at, on an address of its own.
const PORT: u16 = 14_000;
const MANAGEMENT_PORT: u16 = 15_000;

/// Where pebble will be, before it is started.
pub(crate) struct Place {
    folder: DataFolder,
    address: Ipv4Addr,
    pub(crate) http: Gate,
    pub(crate) https: Gate,
}

/// pebble, running.
pub(crate) struct Authority {
    process: Background,
    address: Ipv4Addr,
}

/// Whether pebble is installed.
pub(crate) fn is_here() -> bool {
    let is_here = command("pebble").arg("-h").output().is_ok();
    if !is_here {
        skip("ACME: no `pebble` on this machine (Debian: apt-get install pebble)");
    }
    is_here
}

/// An address of the loopback network that no other test uses: pebble does not say which port it got for 0, and a port
/// that was free on the common address a moment ago may be another server's by now.
fn own_address() -> Ipv4Addr {
    static COUNT: AtomicU8 = AtomicU8::new(1);
    let [_, _, second, third] = process::id().to_be_bytes();
    Ipv4Addr::new(127, 128 | second, third, COUNT.fetch_add(1, Ordering::Relaxed))
}

impl Place {
    pub(crate) fn new() -> Self {
        let folder = DataFolder::new();
        let key = KeyPair::generate().expect("a key");
        let address = own_address();
        let params = CertificateParams::new(vec![address.to_string()]).expect("names");
        let certificate = params.self_signed(&key).expect("a certificate");
        fs::write(folder.path().join("pebble.pem"), certificate.pem()).expect("write the certificate");
        fs::write(folder.path().join("pebble.key"), key.serialize_pem()).expect("write the key");
        fs::write(folder.path().join("external.key"), EXTERNAL_KEY).expect("write the key");
        Self { folder, address, http: Gate::new(), https: Gate::new() }
    }

    /// The settings that lead there, with more lines for `[tls.acme]`.
    pub(crate) fn settings(&self, more: &str) -> String {
        format!(
            "[[zones]]\nname = \"example.com\"\n[tls.acme]\ndirectory = \"https://{}:{PORT}/dir\"\n\
             ca_file = {:?}\nterms_of_service_agreed = true\ncontact = \"ops@example.com\"\n{more}\n",
            self.address,
            self.folder.path().join("pebble.pem"),
        )
    }

    pub(crate) fn external_key(&self) -> PathBuf {
        self.folder.path().join("external.key")
    }

    pub(crate) async fn start(&self, behaviour: Behaviour) -> Authority {
        let at = |name: &str| self.folder.path().join(name);
        let address = |port: u16| SocketAddr::from((self.address, port));
        let config = json!({"pebble": {
            "listenAddress": address(PORT),
            "managementListenAddress": address(MANAGEMENT_PORT),
            "certificate": at("pebble.pem"),
            "privateKey": at("pebble.key"),
            "httpPort": self.http.port,
            "tlsPort": self.https.port,
            "externalAccountBindingRequired": behaviour.asks_for_external_account,
            "externalAccountMACKeys": {"kid-1": EXTERNAL_KEY},
            "certificateValidityPeriod": behaviour.validity_secs.unwrap_or(90 * 24 * 3600),
        }});
        fs::write(at("pebble.json"), config.to_string()).expect("write the configuration");
        let mut pebble = command("pebble");
        pebble.arg("-config").arg(at("pebble.json")).arg("-dnsserver").arg(resolver::start().to_string());
        // One nonce of ten is refused, as the protocol allows.
        pebble
            .env("PEBBLE_VA_NOSLEEP", "1")
            .env("PEBBLE_WFE_NONCEREJECT", "10")
            .env("PEBBLE_AUTHZREUSE", "0");
        let process = Background::start(pebble, DataFolder::new());
        // It says that it listens a moment before it does.
        let listens = || TcpStream::connect(address(PORT)).is_ok();
        wait_until("pebble", START_LIMIT, listens).await;
        Authority { process, address: self.address }
    }
}

impl Authority {
    pub(crate) fn log(&self) -> &Log {
        self.process.log()
    }

    /// How many orders it was asked for; those that it refuses for their nonce are not counted.
    pub(crate) fn orders(&self) -> usize {
        self.log().lines().iter().filter(|line| line.contains("Added order")).count()
    }

    /// Writes the certificate that vouches for all that it issues.
    pub(crate) fn root(&self, folder: &Path) -> String {
        let path = folder.join("root.pem");
        let url = format!("https://{}:{MANAGEMENT_PORT}/roots/0", self.address);
        let output =
            command("curl").args(["--silent", "--insecure", "--fail", &url, "-o"]).arg(&path).output();
        assert!(output.expect("run curl (Debian: curl)").status.success());
        path.display().to_string()
    }
}
