//! Which certificate a visitor gets: those from files by name, exactly or by one-label wildcard, else one that was obtained for
//! the host, else one of the development authority. Files are read again when they change. The handshake itself is in
//! `handshake`; what it proves to an ACME server in `challenges`.

mod certificate;
mod challenges;
mod development;
mod handshake;
mod secured;

use std::{
    collections::{BTreeMap, HashMap},
    fmt, fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use rustls::{
    ServerConfig,
    crypto::{
        CryptoProvider,
        ring::{Ticketer, default_provider},
    },
    server::{ProducesTickets, ServerSessionMemoryCache, StoresServerSessions},
    sign::SingleCertAndKey,
};
use tasks::Clock;
use tokio::sync::Semaphore;

pub(crate) use certificate::Names;
pub use certificate::{Certificate, CertificateError, CertificateFiles};
pub use challenges::{Challenges, Offer, ProofError};
use development::Authority;
pub(crate) use handshake::perform;
pub(crate) use secured::Secured;

use crate::limits;

/// What the door needs to speak TLS; cheap to clone.
#[derive(Clone)]
pub struct Tls(Arc<Shared>);

struct Shared {
    sources: Mutex<Sources>,
    table: ArcSwap<Table>,
    authority: Authority,
    sessions: Sessions,
    clock: Clock,
    /// Handshakes whose first message has arrived.
    handshakes: Semaphore,
}

/// Why the door cannot speak TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A configured certificate cannot be served.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The development authority cannot be read or made.
    #[error("the development authority cannot be used: {0}")]
    Authority(String),
    /// The random numbers for resuming sessions cannot be had.
    #[error("prepare the resumption of sessions: {0}")]
    Tickets(rustls::Error),
}

/// Where certificates come from.
struct Sources {
    pairs: Vec<Pair>,
    /// By host; see [`Tls::hold`].
    obtained: BTreeMap<String, Arc<Served>>,
}

/// Files and what was last made of them.
struct Pair {
    files: CertificateFiles,
    state: State,
    served: Arc<Served>,
}

/// What tells one content of two files from another without reading them.
type State = [Option<(u64, i64, i64, u64)>; 2];

/// A certificate, ready for handshakes.
pub(crate) struct Served {
    pub(crate) names: Names,
    pub(crate) config: Arc<ServerConfig>,
}

/// The certificates from files and those that were obtained, by name.
#[derive(Default)]
struct Table {
    exact: HashMap<String, Arc<Served>>,
    /// By what follows `*.`.
    wildcards: HashMap<String, Arc<Served>>,
    /// Those that were obtained, by host.
    obtained: HashMap<String, Arc<Served>>,
}

/// What all certificates share; a session can be resumed after a reload.
struct Sessions {
    provider: Arc<CryptoProvider>,
    tickets: Arc<dyn ProducesTickets>,
    cache: Arc<dyn StoresServerSessions>,
}

impl Tls {
    /// Reads all certificates, and the development authority of the data folder, which is made if there is none. Blocks
    /// on the disk.
    pub fn open(
        data: &Path,
        base_domain: &str,
        certificates: &[CertificateFiles],
        clock: Clock,
    ) -> Result<Self, TlsError> {
        let authority = Authority::open(data, base_domain, clock.clone())?;
        let sessions = Sessions {
            provider: Arc::new(default_provider()),
            tickets: Ticketer::new().map_err(TlsError::Tickets)?,
            cache: ServerSessionMemoryCache::new(limits::TLS_SESSIONS_MAX),
        };
        let mut pairs = Vec::new();
        for files in certificates {
            let state = state(files);
            let certificate = files.read()?;
            note(files, &certificate, &clock);
            pairs.push(Pair { files: files.clone(), state, served: Arc::new(sessions.serve(certificate)) });
        }
        let sources = Sources { pairs, obtained: BTreeMap::new() };
        let table = ArcSwap::from_pointee(Table::of(&sources));
        let handshakes = Semaphore::new(limits::HANDSHAKES_MAX);
        Ok(Self(Arc::new(Shared {
            sources: Mutex::new(sources),
            table,
            authority,
            sessions,
            clock,
            handshakes,
        })))
    }

    /// The certificate of the development authority, for those who want to trust it.
    #[must_use]
    pub fn authority(&self) -> PathBuf {
        self.0.authority.path.clone()
    }

    /// Looks at the files and reads those that changed; `is_forced` reads all. What cannot be used is warned of, once for
    /// each content, and leaves its predecessor in place. Blocks on the disk.
    pub fn look(&self, is_forced: bool) {
        let mut sources = self.0.sources.lock().unwrap_or_else(PoisonError::into_inner);
        let mut has_changed = false;
        for pair in &mut sources.pairs {
            // Noted before reading: a change during the reading is seen by the next look.
            let state = state(&pair.files);
            if state == pair.state && !is_forced {
                continue;
            }
            pair.state = state;
            match pair.files.read() {
                Ok(certificate) => {
                    note(&pair.files, &certificate, &self.0.clock);
                    pair.served = Arc::new(self.0.sessions.serve(certificate));
                    has_changed = true;
                }
                Err(error) => {
                    tracing::warn!(%error, "A changed certificate cannot be used; the one before stays in use");
                }
            }
        }
        if has_changed {
            self.0.table.store(Arc::new(Table::of(&sources)));
        }
    }

    /// Serves `host` (in lower case) with this certificate from now on, or with none. What files are for comes first.
    pub fn hold(&self, host: &str, certificate: Option<Certificate>) {
        let mut sources = self.0.sources.lock().unwrap_or_else(PoisonError::into_inner);
        match certificate {
            Some(certificate) => {
                let served = Arc::new(self.0.sessions.serve(certificate));
                sources.obtained.insert(host.to_owned(), served);
            }
            None => drop(sources.obtained.remove(host)),
        }
        self.0.table.store(Arc::new(Table::of(&sources)));
    }

    /// Whether a certificate from files is for `host` (in lower case).
    #[must_use]
    pub fn has_files_for(&self, host: &str) -> bool {
        let sources = self.0.sources.lock().unwrap_or_else(PoisonError::into_inner);
        sources.pairs.iter().any(|pair| pair.served.names.cover(host))
    }

    /// Looks at the files from time to time, for ever.
    pub(crate) async fn watch(self, every: Duration) {
        loop {
            tokio::time::sleep(every).await;
            let tls = self.clone();
            if tokio::task::spawn_blocking(move || tls.look(false)).await.is_err() {
                tracing::error!("Looking at the certificates failed");
            }
        }
    }

    /// The certificate for a host.
    pub(crate) fn choose(&self, host: &str) -> Option<Arc<Served>> {
        let host = host.to_ascii_lowercase();
        if let Some(served) = self.0.table.load().find(&host) {
            return Some(served);
        }
        let certificate = self.0.authority.certificate(&host)?;
        Some(Arc::new(self.0.sessions.serve(certificate)))
    }

    pub(crate) fn handshakes(&self) -> &Semaphore {
        &self.0.handshakes
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Tls").field("authority", &self.0.authority.path).finish_non_exhaustive()
    }
}

impl Table {
    /// Where two certificates have the same name, the first one counts.
    fn of(sources: &Sources) -> Self {
        let obtained = sources.obtained.iter().map(|(host, served)| (host.clone(), Arc::clone(served)));
        let mut table = Self { obtained: obtained.collect(), ..Self::default() };
        for served in sources.pairs.iter().map(|pair| &pair.served) {
            for name in &served.names.exact {
                table.exact.entry(name.clone()).or_insert_with(|| Arc::clone(served));
            }
            for parent in &served.names.wildcards {
                table.wildcards.entry(parent.clone()).or_insert_with(|| Arc::clone(served));
            }
        }
        table
    }

    fn find(&self, host: &str) -> Option<Arc<Served>> {
        let by_star = || host.split_once('.').and_then(|(_, parent)| self.wildcards.get(parent));
        self.exact.get(host).or_else(by_star).or_else(|| self.obtained.get(host)).cloned()
    }
}

impl Sessions {
    fn serve(&self, certificate: Certificate) -> Served {
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .expect("ring's suites serve both versions")
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(certificate.key)));
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config.ticketer = Arc::clone(&self.tickets);
        config.session_storage = Arc::clone(&self.cache);
        Served { names: certificate.names, config: Arc::new(config) }
    }
}

/// A file that cannot be looked at is like one that is not there: reading it says why.
fn state(files: &CertificateFiles) -> State {
    let look = |path: &PathBuf| -> io::Result<_> {
        let found = fs::metadata(path)?;
        Ok((found.ino(), found.mtime(), found.mtime_nsec(), found.len()))
    };
    [look(&files.cert).ok(), look(&files.key).ok()]
}

fn note(files: &CertificateFiles, certificate: &Certificate, clock: &Clock) {
    let (file, names) = (files.cert.display(), certificate.names());
    let days_left = certificate.days_left(clock.unix_secs());
    if days_left < 0 {
        tracing::warn!(%file, names, "A certificate has expired; clients will refuse it");
    } else {
        tracing::info!(%file, names, days_left, "Certificate in use");
    }
}
