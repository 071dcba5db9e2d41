//! The server's life: open the data folder, open the products, wire them to the platform, open the doors; later close
//! the doors, let what runs come to its end, and close the data folder.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use acme::{AcmeError, Nudge};
use axum::Router;
use control_plane::{ControlPlane, Tokens};
use durable_objects::DurableObjects;
use engine::{Engine, LocateError, Search, Wiring};
use futures_util::{FutureExt, future::BoxFuture};
use ingress::{Colo, Ingress, Tls, TlsError};
use model::{BucketName, DatabaseId, NamespaceId};
use product::{Dataset, House, Product};
use settings::{Environment, Settings};
use store::{Database, Migration, Options, StoreError, Vault, VaultError};
use tasks::{Clock, Tasks};
use telemetry::Metrics;
use tokio::net::TcpListener;
use workers::{Register, Routes};

use crate::{
    account,
    addresses::Addresses,
    bindings::Bindings,
    certificates,
    credentials::Credentials,
    local::Local,
    lock::{Lock, LockError},
    object_registry::ObjectRegistry,
    public_buckets::{BucketDomains, PublicBuckets},
    services::{Services, Waiting},
    usage,
};

/// Where the S3 API answers if nothing is said.
pub const S3_DEFAULT: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 8789));
/// Read connections to `meta.sqlite`: the control plane alone reads it.
const META_READERS: usize = 4;
const DAY_SECS: u64 = 24 * 60 * 60;
/// How long Workers' processes may take to end when the drain left them no time.
const ENGINE_STOP_TIMEOUT: Duration = Duration::from_secs(3);
/// How long background work may take to notice that the server stops.
const BACKGROUND_STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// What a server is started with.
#[derive(Debug)]
pub struct Start {
    /// The data folder.
    pub data: PathBuf,
    /// Checked settings.
    pub settings: Settings,
    /// Where else the engine may be found.
    pub environment: Environment,
    /// Our own program; the engine may lie beside it.
    pub own_program: Option<PathBuf>,
}

/// Why a server does not start. Each says what to do, or what was tried on what.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The data folder belongs to another server.
    #[error("the data folder `{folder}` is in use by another server{}", pid.map(|pid| format!(" (process {pid})")).unwrap_or_default())]
    Locked {
        /// The folder.
        folder: PathBuf,
        /// The other server.
        pid: Option<u32>,
    },
    /// An address cannot be had.
    #[error("listen on {address} for {door}: {cause}")]
    Listen {
        /// `http`, `https`, `api` or `s3`.
        door: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the system said.
        cause: io::Error,
    },
    /// No engine.
    #[error(transparent)]
    Engine(#[from] LocateError),
    /// A certificate cannot be served.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Certificates cannot be obtained with these settings or files.
    #[error("prepare [tls.acme]: {0}")]
    Acme(#[from] AcmeError),
    /// Something in the data folder cannot be used.
    #[error("open {what} in the data folder: {cause}")]
    Open {
        /// Which part.
        what: &'static str,
        /// Why.
        cause: String,
    },
}

/// A server whose doors are open.
pub struct Server {
    addresses: Addresses,
    /// If the door that speaks TLS is open.
    tls: Option<Tls>,
    /// If certificates are obtained.
    acme: Option<Nudge>,
    engine: Engine,
    /// The public doors and their connections.
    doors: Tasks,
    /// Everything that those need while they drain.
    house: Tasks,
    data: PathBuf,
    meta: Database,
    kv: kv::Namespaces,
    r2: r2::Buckets,
    d1: d1::Databases,
    drain_timeout: Duration,
    _lock: Lock,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Server").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}

impl Server {
    /// Opens everything; returns when all doors listen and `addresses.json` says where.
    pub async fn open(start: Start) -> Result<Self, ServeError> {
        let Start { data, settings, environment, own_program } = start;
        store::fault::watch(environment.fault_file.clone());
        store::create_folder(&data.join("run")).map_err(failed("the folder"))?;
        let lock = lock(&data).await?;
        // Bound before anything is started: a port that is taken is the commonest mistake, and should cost nothing.
        let Listeners { http, https, api, s3 } = listen_all(&settings).await?;
        let addresses = Addresses::new(local(&http), https.as_ref().map(local), local(&api), local(&s3));
        let program = find_engine(&data, environment, own_program)?;

        let (clock, metrics, doors) = (Clock::system(), Metrics::new(), Tasks::new());
        let tls = https.is_some().then(|| certificates::for_door(&data, &settings, &clock)).transpose()?;
        let house = open_house(data.clone(), clock.clone()).await?;
        let tokens = Tokens::open(&house).await.map_err(failed("the tokens"))?;
        ensure_credentials(&house, &tokens).await?;
        let engine = open_engine(&house, engine_settings(&settings, program, &data), &metrics)?;

        let products = open_products(&house, &settings, &http).await?;
        let ingress = open_ingress(&house, &settings, &products, &engine, &doors, &metrics);
        usage::show(&products.kv.namespaces, &products.r2.buckets, &products.d1.databases, &metrics);
        let Products { kv, r2, d1, objects, workers, routes, register, sites } = products;
        let acme = certificates::obtain(&house, &settings, tls.clone(), &ingress, &routes, &metrics)?;
        let local_hosts = Local::new(ingress.clone(), routes.clone(), sites);
        let egress = open_egress(&house, &settings, local_hosts)?;
        let doors_of_rooms = [&kv.product, &r2.product, &d1.product]
            .map(|product| product.binding.clone().expect("the room has a binding"));
        let tasks = house.tasks.clone();
        let services = Services { engine: engine.clone(), routes, tasks, waiting: Waiting::default() };
        let bindings = Bindings::new(doors_of_rooms, services, &metrics, clock);
        engine.connect(Wiring {
            source: register.clone(),
            bindings: Arc::new(bindings),
            egress: Arc::new(egress),
            homes: Arc::new(objects.homes.clone()),
        });
        register.attach(Arc::new(engine.clone()));
        let namespaces = ObjectRegistry { register, engine: engine.clone() };
        objects.homes.attach(Arc::new(namespaces), &house.tasks);

        let s3_router = r2.buckets.s3(Arc::new(S3Keys(tokens.clone())), &settings.server.base_domain);
        let (rest, datasets) = for_the_api([workers, kv.product, r2.product, d1.product, objects.product]);
        let router = control_plane::router(ControlPlane {
            account: house.account.clone(),
            tokens,
            products: rest,
            signed: vec![d1.databases.signed_urls()],
            datasets,
            metrics: Arc::new(move || metrics.render()),
            is_loopback: local(&api).ip().is_loopback(),
        });
        if let Some((https, tls)) = https.zip(tls.clone()) {
            doors.spawn_draining("ingress over TLS", ingress.clone().serve_tls(https, tls));
        }
        doors.spawn_draining("ingress", ingress.serve(http));
        doors.spawn_draining("api", control_plane::serve(api, router, doors.clone()));
        doors.spawn_draining("s3", control_plane::serve(s3, s3_router, doors.clone()));
        addresses.write(&data).map_err(failed("run/addresses.json"))?;
        let House { meta, tasks: house, .. } = house;
        Ok(Self {
            addresses,
            tls,
            acme,
            engine,
            doors,
            house,
            data,
            meta,
            kv: kv.namespaces,
            r2: r2.buckets,
            d1: d1.databases,
            drain_timeout: Duration::from_secs(settings.server.drain_timeout_secs),
            _lock: lock,
        })
    }

    /// Where the doors are.
    #[must_use]
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// The certificate to trust for hosts without one of their own, if the server speaks TLS.
    #[must_use]
    pub fn authority(&self) -> Option<PathBuf> {
        self.tls.as_ref().map(Tls::authority)
    }

    /// Reads the certificates' files again, changed or not, and tries again to obtain those that could not be had.
    pub fn reload(&self) {
        if let Some(tls) = &self.tls {
            tls.look(true);
        }
        if let Some(acme) = &self.acme {
            acme.now();
        }
    }

    /// Takes no new connections, lets requests finish, stops the Workers, closes the data folder.
    pub async fn stop(self) {
        Addresses::remove(&self.data);
        let deadline = tokio::time::Instant::now() + self.drain_timeout;
        if !self.doors.stop(self.drain_timeout).await {
            tracing::warn!("Requests still ran at the drain deadline and are cut");
        }
        let left = deadline.saturating_duration_since(tokio::time::Instant::now());
        // What outlives this ends with our own process.
        tokio::time::timeout(left.max(ENGINE_STOP_TIMEOUT), self.engine.stop()).await.ok();
        if !self.house.stop(BACKGROUND_STOP_TIMEOUT).await {
            tracing::warn!("Background work did not stop in time");
        }
        self.kv.close().await;
        self.r2.close().await;
        self.d1.close().await;
        self.meta.close().await;
    }
}

/// What the products give to the API.
fn for_the_api(products: [Product; 5]) -> (Vec<Router>, Vec<Dataset>) {
    let (rest, datasets): (Vec<_>, Vec<_>) =
        products.into_iter().map(|product| (product.rest, product.datasets)).unzip();
    (rest, datasets.into_iter().flatten().collect())
}

/// The rooms, open.
struct Products {
    kv: kv::Kv,
    r2: r2::R2,
    d1: d1::D1,
    objects: DurableObjects,
    workers: Product,
    routes: Routes,
    register: Arc<Register>,
    sites: PublicBuckets,
}

async fn open_products(
    house: &House,
    settings: &Settings,
    http: &TcpListener,
) -> Result<Products, ServeError> {
    let kv = kv::open(house).await.map_err(failed("kv"))?;
    let r2 = r2::open(house, &settings.server.base_domain).await.map_err(failed("r2"))?;
    let time_travel = d1::TimeTravel {
        keep: Duration::from_secs(u64::from(settings.d1.time_travel_days) * DAY_SECS),
        bytes_max: settings.d1.time_travel_bytes_max,
    };
    let d1 = d1::open(house, time_travel).map_err(failed("d1"))?;
    let objects = durable_objects::open(house).map_err(failed("durable-objects"))?;
    let checks =
        Arc::new(Exists { kv: kv.namespaces.clone(), r2: r2.buckets.clone(), d1: d1.databases.clone() });
    let (workers, routes, register) = workers::open(house, workers_settings(settings, http), checks)
        .await
        .map_err(failed("the register of Workers"))?;
    let sites = PublicBuckets { buckets: r2.buckets.clone(), routes: routes.clone() };
    r2.buckets.attach(Arc::new(BucketDomains(Arc::clone(&register))));
    Ok(Products { kv, r2, d1, objects, workers, routes, register, sites })
}

fn open_ingress(
    house: &House,
    settings: &Settings,
    products: &Products,
    engine: &Engine,
    doors: &Tasks,
    metrics: &Metrics,
) -> Ingress {
    let (routes, sites) = (products.routes.clone(), Arc::new(products.sites.clone()));
    let (dispatch, settings) = (Arc::new(engine.clone()), ingress_settings(settings));
    Ingress::new(routes, sites, dispatch, settings, house.clock.clone(), doors.clone(), metrics)
}

/// Answers the register's questions about other products.
struct Exists {
    kv: kv::Namespaces,
    r2: r2::Buckets,
    d1: d1::Databases,
}

impl workers::Bindable for Exists {
    fn kv_namespace_exists<'a>(&'a self, id: &'a NamespaceId) -> BoxFuture<'a, Result<bool, StoreError>> {
        std::future::ready(self.kv.exists(id)).boxed()
    }

    fn r2_bucket_exists<'a>(&'a self, name: &'a BucketName) -> BoxFuture<'a, Result<bool, StoreError>> {
        std::future::ready(self.r2.exists(name)).boxed()
    }

    fn d1_database_exists(&self, id: DatabaseId) -> BoxFuture<'_, Result<bool, StoreError>> {
        std::future::ready(self.d1.exists(id)).boxed()
    }
}

/// Tokens as the keys of the S3 API.
struct S3Keys(Tokens);

impl r2::AccessKeys for S3Keys {
    fn find(&self, id: &str) -> Option<r2::AccessKey> {
        let control_plane::S3Key { secret, can_read, can_write } = self.0.s3_key(id)?;
        Some(r2::AccessKey { secret, can_read, can_write })
    }
}

/// The sockets of all doors.
struct Listeners {
    http: TcpListener,
    https: Option<TcpListener>,
    api: TcpListener,
    s3: TcpListener,
}

async fn listen_all(settings: &Settings) -> Result<Listeners, ServeError> {
    let server = &settings.server;
    let http = listen("http", server.http).await?;
    let https = match server.https {
        Some(address) => Some(listen("https", address).await?),
        None => None,
    };
    let api = listen("api", server.api).await?;
    let s3 = match server.s3 {
        Some(address) => listen("s3", address).await?,
        None => listen_for_s3().await?,
    };
    Ok(Listeners { http, https, api, s3 })
}

/// Nobody asked for an address, and perhaps nobody uses the door: a port that is taken is no reason not to start.
async fn listen_for_s3() -> Result<TcpListener, ServeError> {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    match listen("s3", S3_DEFAULT).await {
        Err(error) => {
            tracing::warn!(%error, "The S3 API answers at another port (--s3 sets it)");
            listen("s3", any).await
        }
        listening => listening,
    }
}

async fn listen(door: &'static str, address: SocketAddr) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address).await.map_err(|cause| ServeError::Listen { door, address, cause })
}

fn local(listener: &TcpListener) -> SocketAddr {
    listener.local_addr().expect("a bound socket has an address")
}

fn find_engine(
    data: &std::path::Path,
    environment: Environment,
    own_program: Option<PathBuf>,
) -> Result<PathBuf, ServeError> {
    let Environment { workerd, path, .. } = environment;
    let found = engine::locate(&Search { named: workerd, data: data.to_owned(), own_program, path })?;
    let program = found.program.display();
    match found.other_version {
        None => tracing::info!(%program, "Engine found in {}", found.place),
        Some(version) => {
            tracing::warn!(%program, version, "The engine named by SKERRY_WORKERD is not the version this build was tested with");
        }
    }
    Ok(found.program)
}

async fn lock(data: &std::path::Path) -> Result<Lock, ServeError> {
    Lock::take(data).await.map_err(|error| match error {
        LockError::Held(pid) => ServeError::Locked { folder: data.to_owned(), pid },
        LockError::Io(cause) => ServeError::Open { what: "run/lock", cause: cause.to_string() },
    })
}

fn open_engine(house: &House, settings: engine::Settings, metrics: &Metrics) -> Result<Engine, ServeError> {
    let engine = Engine::new(settings, house.clock.clone(), house.tasks.clone(), metrics);
    engine.map_err(failed("the folder for sockets"))
}

fn open_egress(house: &House, settings: &Settings, local: Local) -> Result<egress::Egress, ServeError> {
    let (settings, tasks, clock) = (egress_settings(settings), house.tasks.clone(), house.clock.clone());
    egress::Egress::new(settings, Arc::new(local), tasks, clock).map_err(failed("the way out"))
}

async fn open_house(data: PathBuf, clock: Clock) -> Result<House, ServeError> {
    let vault = Vault::open(&data.join("master.key")).map_err(failed::<VaultError>("the master key"))?;
    let migrations: Vec<Migration> =
        [account::MIGRATIONS, workers::MIGRATIONS, control_plane::MIGRATIONS, d1::MIGRATIONS].concat();
    let meta = Database::open(&data.join("meta.sqlite"), &migrations, Options { readers: META_READERS })
        .map_err(failed("meta.sqlite"))?;
    let account = account::ensure(&meta).await.map_err(failed("the account"))?;
    Ok(House { data, meta, vault, account, clock, tasks: Tasks::new() })
}

/// The first start draws the owner's token; so does one that finds its file gone or the token revoked.
async fn ensure_credentials(house: &House, tokens: &Tokens) -> Result<(), ServeError> {
    let stored = Credentials::read(&house.data).map_err(failed("credentials.json"))?;
    if stored.is_some_and(|stored| tokens.accepts(&stored.token)) {
        return Ok(());
    }
    let first = tokens.make_owner().await.map_err(failed("the tokens"))?;
    let credentials = Credentials {
        account_id: first.account_id.to_string(),
        token_id: first.token_id.to_string(),
        token: first.token,
    };
    credentials.write(&house.data).map_err(failed("credentials.json"))
}

fn engine_settings(settings: &Settings, program: PathBuf, data: &std::path::Path) -> engine::Settings {
    let engine = &settings.engine;
    engine::Settings {
        program,
        run_folder: data.join("run/workers"),
        idle_timeout: Duration::from_secs(engine.idle_timeout_secs),
        drain_timeout: Duration::from_secs(settings.server.drain_timeout_secs),
        wait_until_limit: Duration::from_secs(engine.wait_until_secs),
        startup_timeout: Duration::from_secs(engine.startup_timeout_secs),
        startup_cpu: Duration::from_millis(engine.startup_cpu_ms),
    }
}

fn workers_settings(settings: &Settings, http: &TcpListener) -> workers::Settings {
    workers::Settings {
        base_domain: settings.server.base_domain.clone(),
        http_port: local(http).port(),
        script_bytes_max: settings.workers.script_bytes_max,
        zones: settings.zones.iter().map(|zone| zone.name.clone()).collect(),
    }
}

fn ingress_settings(settings: &Settings) -> ingress::Settings {
    ingress::Settings {
        colo: Colo::parse(&settings.server.colo).unwrap_or_default(),
        drain_timeout: Duration::from_secs(settings.server.drain_timeout_secs),
        ..ingress::Settings::new(&settings.server.base_domain)
    }
}

fn egress_settings(settings: &Settings) -> egress::Settings {
    egress::Settings {
        allow: settings.egress.allow.clone(),
        hosts: settings.egress.hosts.clone(),
        ca_files: settings.egress.ca_files.clone(),
        base_domain: settings.server.base_domain.clone(),
        ..egress::Settings::default()
    }
}

fn failed<E: std::fmt::Display>(what: &'static str) -> impl FnOnce(E) -> ServeError {
    move |cause| ServeError::Open { what, cause: cause.to_string() }
}
