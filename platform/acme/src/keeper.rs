//! Keeps every wanted host in a valid certificate: looks at the present state, starts what is due, and sleeps until the next
//! thing is. What a single try does is in `order`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    future::Future,
    path::Path,
    pin::pin,
    sync::Arc,
    time::Duration,
};

use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use ingress::{Certificate, Challenges, Tls};
use tasks::{Clock, Tasks};
use tokio::sync::Notify;
use workers::Routes;

use crate::{
    AcmeError, Failure, Settings,
    account::Accounts,
    folder::Folder,
    http_client::Client,
    limits::{HOSTS_MAX, LOOK_EVERY, ORDER_TIMEOUT, ORDERS_A_TRY_MAX, ORDERS_AT_ONCE, WORKER_HOSTS_MAX},
    metrics::Metrics,
    order, schedule,
};

/// What the room is connected to.
#[derive(Debug)]
pub struct Wiring {
    /// Serves what is obtained.
    pub tls: Tls,
    /// Answers the ACME server.
    pub challenges: Challenges,
    /// Says which hosts there are.
    pub routes: Routes,
    /// The time.
    pub clock: Clock,
    /// For connections to the ACME server.
    pub tasks: Tasks,
    /// Where to count.
    pub metrics: telemetry::Metrics,
}

/// Obtains and renews.
pub struct Keeper {
    settings: Settings,
    tls: Tls,
    routes: Routes,
    clock: Clock,
    metrics: Metrics,
    nudge: Nudge,
    issuer: Arc<Issuer>,
    /// By host.
    held: BTreeMap<String, Held>,
    /// By host.
    failures: BTreeMap<String, Failure>,
    /// Hosts with an order under way.
    busy: BTreeSet<String>,
    /// Whether the hosts beyond a limit were complained of.
    is_limit_told: bool,
}

/// Asks for what failed to be tried again now; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Nudge(Arc<Notify>);

/// What a certificate of ours tells about time.
struct Held {
    certificate: Certificate,
    renew_unix_secs: u64,
}

/// What a try needs.
struct Issuer {
    settings: Settings,
    accounts: Accounts,
    challenges: Challenges,
    folder: Folder,
}

type Tried = (String, Result<Certificate, AcmeError>);

impl Nudge {
    /// Tries again, however long the pause still is.
    pub fn now(&self) {
        self.0.notify_one();
    }
}

impl Keeper {
    /// Reads what lies on disk and has it served. Asks nobody anything. Blocks on the disk.
    pub fn open(data: &Path, settings: Settings, wiring: Wiring) -> Result<Self, AcmeError> {
        let Wiring { tls, challenges, routes, clock, tasks, metrics } = wiring;
        let folder = Folder::of(data, &settings.directory);
        folder.prepare()?;
        let client = Client::new(settings.ca_file.as_ref(), tasks)?;
        let accounts = Accounts::new(settings.clone(), client, folder.clone());
        let failures = folder.failures();
        let issuer = Issuer { settings: settings.clone(), accounts, challenges, folder };
        let mut keeper = Self {
            settings,
            tls,
            routes,
            clock,
            metrics: Metrics::new(&metrics),
            nudge: Nudge::default(),
            issuer: Arc::new(issuer),
            held: BTreeMap::new(),
            failures,
            busy: BTreeSet::new(),
            is_limit_told: false,
        };
        for host in keeper.issuer.folder.hosts()? {
            match keeper.issuer.folder.read(&host) {
                Ok(certificate) => keeper.hold(&host, certificate),
                Err(error) => {
                    tracing::warn!(host, %error, "A kept certificate cannot be used; another one is ordered");
                }
            }
        }
        Ok(keeper)
    }

    /// To be kept by those who may want a failure to be tried again.
    #[must_use]
    pub fn nudge(&self) -> Nudge {
        self.nudge.clone()
    }

    /// Works for ever.
    pub async fn run(mut self) {
        let mut changes = self.routes.watch();
        let nudge = self.nudge.clone();
        let mut running: FuturesUnordered<BoxFuture<'static, Tried>> = FuturesUnordered::new();
        loop {
            let wait = self.start_due(&mut running);
            let mut asleep = pin!(tokio::time::sleep(wait));
            tokio::select! {
                Some((host, result)) = running.next(), if !running.is_empty() => self.settle(host, result).await,
                changed = changes.changed() => {
                    if changed.is_err() {
                        return;
                    }
                }
                () = nudge.0.notified() => {
                    for failure in self.failures.values_mut() {
                        failure.next_unix_secs = 0;
                    }
                }
                () = asleep.as_mut() => {}
            }
        }
    }

    /// Starts what is due, as far as there is room, and says how long nothing else will be.
    fn start_due(&mut self, running: &mut FuturesUnordered<BoxFuture<'static, Tried>>) -> Duration {
        let now = self.clock.unix_secs();
        let wanted = self.wanted();
        self.forget_others(&wanted, now);
        let mut next = now.saturating_add(LOOK_EVERY.as_secs());
        for host in wanted {
            if let Some(held) = self.held.get(&host) {
                self.metrics.set_days_left(&host, held.certificate.days_left(now));
            }
            let due = self.due(&host);
            if self.busy.contains(&host) {
                continue;
            }
            if now < due {
                next = next.min(due);
            } else if self.busy.len() < ORDERS_AT_ONCE {
                self.busy.insert(host.clone());
                running.push(try_host(Arc::clone(&self.issuer), host).boxed());
            }
        }
        Duration::from_secs(next - now)
    }

    /// The hosts that should have a certificate and get none from files.
    fn wanted(&mut self) -> BTreeSet<String> {
        let mut hosts: BTreeSet<String> = self.settings.hosts.iter().cloned().collect();
        if self.settings.is_for_custom_domains {
            hosts.extend(self.routes.custom_domains());
        }
        let mut left_out = 0;
        if let Some(domain) = &self.settings.worker_domain {
            let of_workers: BTreeSet<String> = self.routes.script_hosts(domain).into_iter().collect();
            left_out += of_workers.len().saturating_sub(WORKER_HOSTS_MAX);
            hosts.extend(of_workers.into_iter().take(WORKER_HOSTS_MAX));
        }
        hosts.retain(|host| !self.tls.has_files_for(host));
        while HOSTS_MAX < hosts.len() {
            hosts.pop_last();
            left_out += 1;
        }
        if 0 < left_out && !self.is_limit_told {
            tracing::warn!(
                left_out,
                "Too many hosts for certificates of their own ({HOSTS_MAX} in sum, {WORKER_HOSTS_MAX} of Workers): the last by name get none"
            );
        }
        self.is_limit_told = 0 < left_out;
        hosts
    }

    /// From when on a host may be tried.
    fn due(&self, host: &str) -> u64 {
        let renewal = self.held.get(host).map_or(0, |held| held.renew_unix_secs);
        let pause = self.failures.get(host).map_or(0, |failure| failure.next_unix_secs);
        renewal.max(pause)
    }

    /// A host that nobody wants any more keeps its certificate until that ends, in case that it is wanted again.
    fn forget_others(&mut self, wanted: &BTreeSet<String>, now: u64) {
        let is_over = |held: &Held| held.certificate.days_left(now) < 0;
        let is_forgotten = |host: &String| !wanted.contains(host);
        for host in self.failures.keys().filter(|host| is_forgotten(host)) {
            self.metrics.forget(host);
        }
        self.failures.retain(|host, _| wanted.contains(host));
        let over: Vec<String> = self
            .held
            .iter()
            .filter(|(host, held)| is_forgotten(host) && is_over(held))
            .map(|(host, _)| host.clone())
            .collect();
        for host in over {
            self.held.remove(&host);
            self.tls.hold(&host, None);
            self.metrics.forget(&host);
            if let Err(error) = self.issuer.folder.remove(&host) {
                tracing::warn!(host, %error, "The expired certificate of a host that is gone cannot be removed");
            }
        }
    }

    /// Makes what came of a try known. The log says it last, when all else can be seen.
    async fn settle(&mut self, host: String, result: Result<Certificate, AcmeError>) {
        self.busy.remove(&host);
        match result {
            Ok(certificate) => {
                let days_left = certificate.days_left(self.clock.unix_secs());
                self.metrics.issued();
                self.metrics.set_failures(&host, 0);
                self.hold(&host, certificate);
                if self.failures.remove(&host).is_some() {
                    self.note_failures().await;
                }
                tracing::info!(host, days_left, "Obtained a certificate for `{host}`");
            }
            Err(error) => self.settle_failure(host, &error).await,
        }
    }

    async fn settle_failure(&mut self, host: String, error: &AcmeError) {
        let now = self.clock.unix_secs();
        self.metrics.failed();
        let earlier = self.failures.get(&host);
        let failure = Failure::after(earlier, error, now);
        let is_known = earlier.is_some_and(|earlier| earlier.error == failure.error);
        let minutes = (failure.next_unix_secs - now).div_ceil(60);
        let error = failure.error.clone();
        self.metrics.set_failures(&host, failure.tries);
        self.failures.insert(host.clone(), failure);
        self.note_failures().await;
        if is_known {
            tracing::debug!(host, error, minutes, "Still no certificate for `{host}`");
        } else {
            tracing::warn!(
                host,
                error,
                "No certificate for `{host}`; the next try is in {minutes} minutes (SIGHUP: now)"
            );
        }
    }

    async fn note_failures(&self) {
        if let Err(error) = self.issuer.folder.write_failures(&self.failures).await {
            tracing::warn!(%error, "What failed could not be noted; a restart would try again at once");
        }
    }

    fn hold(&mut self, host: &str, certificate: Certificate) {
        self.metrics.set_days_left(host, certificate.days_left(self.clock.unix_secs()));
        self.tls.hold(host, Some(certificate.clone()));
        let renew_unix_secs = schedule::renewal(&certificate.validity());
        self.held.insert(host.to_owned(), Held { certificate, renew_unix_secs });
    }
}

impl fmt::Debug for Keeper {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Keeper").field("directory", &self.settings.directory).finish_non_exhaustive()
    }
}

async fn try_host(issuer: Arc<Issuer>, host: String) -> Tried {
    let tried = tokio::time::timeout(ORDER_TIMEOUT, issuer.issue(&host)).await;
    (host, tried.unwrap_or(Err(AcmeError::Slow)))
}

impl Issuer {
    /// A new certificate, on disk.
    async fn issue(&self, host: &str) -> Result<Certificate, AcmeError> {
        let mut left = ORDERS_A_TRY_MAX;
        let pem = loop {
            left -= 1;
            match self.order(host).await {
                Err(error) if error.is_account_lost() && 0 < left => {
                    tracing::info!("The ACME server no longer knows the account; making another");
                    self.accounts.forget().await?;
                }
                Err(error) if error.is_about_nonces() && 0 < left => {}
                decided => break decided?,
            }
        };
        self.folder.write(host, pem).await?;
        self.folder.read(host)
    }

    fn order<'a>(&'a self, host: &'a str) -> impl Future<Output = Result<String, AcmeError>> + Send + 'a {
        // Boxed: an order's steps are large, and few run at a time.
        Box::pin(async move {
            let account = self.accounts.get().await?;
            order::place(&account, host, self.settings.challenge, &self.challenges).await
        })
    }
}
