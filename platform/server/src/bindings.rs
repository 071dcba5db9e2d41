//! What a Worker's bindings speak to. Each process has a socket of its own, so the caller is known before it says a word;
//! the header that workerd adds only chooses among the caller's own bindings.

use std::sync::Arc;

use axum::{
    body::Body,
    http::{Request, Response, StatusCode},
};
use futures_util::{FutureExt, future::BoxFuture};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use model::{BindingKind, Caller, ObjectTarget};
use product::{BindingDoor, ConnectionDoor};
use tasks::Clock;
use telemetry::{Family, Histogram, Label, Metrics};
use workerd_wire::headers::BINDING_HEADER;

use crate::services::{Binding, Lost, Services, Target, binding_of_connect};

/// The products that bindings can name.
#[derive(Clone)]
pub(crate) struct Bindings {
    kv: Room,
    r2: Room,
    d1: Room,
    services: Services,
    clock: Clock,
}

/// A product's door, and how long it takes.
#[derive(Clone)]
struct Room {
    door: BindingDoor,
    seconds: Histogram,
}

impl Room {
    async fn answer(&self, clock: &Clock, resource: &str, request: Request<Incoming>) -> Response<Body> {
        let began = clock.monotonic();
        let answer = (self.door)(resource.into(), request.map(Body::new)).await;
        self.seconds.observe(began.elapsed().as_secs_f64());
        answer
    }
}

impl Bindings {
    pub(crate) fn new(
        [kv, r2, d1]: [BindingDoor; 3],
        services: Services,
        metrics: &Metrics,
        clock: Clock,
    ) -> Self {
        let seconds = Family::<Label, Histogram>::new_with_constructor(Metrics::seconds_histogram);
        let seconds =
            metrics.register("binding_request_seconds", "Time until a binding was answered", seconds);
        let of = |product| seconds.get_or_create(&[("product", product)]).clone();
        let [kv, r2, d1] =
            [(kv, "kv"), (r2, "r2"), (d1, "d1")].map(|(door, product)| Room { door, seconds: of(product) });
        Self { kv, r2, d1, services, clock }
    }

    async fn answer(self, caller: Arc<Caller>, request: Request<Incoming>) -> Result<Response<Body>, Lost> {
        let response = match named(&caller, &request) {
            Some((_, BindingKind::KvNamespace(namespace))) => {
                self.kv.answer(&self.clock, namespace.as_str(), request).await
            }
            Some((_, BindingKind::R2Bucket(bucket))) => {
                self.r2.answer(&self.clock, bucket.as_str(), request).await
            }
            Some((_, BindingKind::D1(database))) => {
                self.d1.answer(&self.clock, &database.to_string(), request).await
            }
            Some((name, BindingKind::Service(target))) => {
                let (name, target) = (name.to_owned(), Target::Service(target.clone()));
                let binding = Binding { services: self.services, caller: Arc::clone(&caller), name, target };
                binding.answer(request.map(Body::new)).await?
            }
            Some((
                name,
                BindingKind::ObjectClass(target @ ObjectTarget { namespace: Some(namespace), .. }),
            )) => {
                let script = target.script.clone().unwrap_or_else(|| caller.script.clone());
                let (class, namespace) = (target.class.clone(), namespace.clone());
                let (name, target) = (name.to_owned(), Target::Objects { script, class, namespace });
                let binding = Binding { services: self.services, caller: Arc::clone(&caller), name, target };
                binding.answer(request.map(Body::new)).await?
            }
            Some((
                _,
                BindingKind::PlainText(_)
                | BindingKind::Json(_)
                | BindingKind::SecretText(_)
                | BindingKind::ObjectClass(ObjectTarget { namespace: None, .. })
                | BindingKind::VersionMetadata
                | BindingKind::WasmModule(_)
                | BindingKind::TextBlob(_)
                | BindingKind::DataBlob(_),
            ))
            | None => no_such_binding(),
        };
        Ok(response)
    }
}

impl ConnectionDoor for Bindings {
    fn serve(&self, caller: Arc<Caller>, connection: tokio::net::UnixStream) -> BoxFuture<'static, ()> {
        let bindings = self.clone();
        async move {
            let service = service_fn(|request| bindings.clone().answer(Arc::clone(&caller), request));
            let mut protocol = http1::Builder::new();
            // Nobody reads a date on this socket.
            protocol.auto_date_header(false);
            let served = protocol.serve_connection(TokioIo::new(connection), service).with_upgrades().await;
            if let Err(error) = served {
                tracing::debug!(script = %caller.script, %error, "A binding's connection broke off");
            }
        }
        .boxed()
    }
}

/// workerd asks only for bindings that we told it of, so this answers what is not workerd.
fn no_such_binding() -> Response<Body> {
    let mut response = Response::new(Body::from("this Worker has no such binding"));
    *response.status_mut() = StatusCode::NOT_FOUND;
    response
}

/// The binding that a request names: by the header that workerd adds, or, a CONNECT having none, by its authority.
fn named<'a>(caller: &'a Arc<Caller>, request: &Request<Incoming>) -> Option<(&'a str, &'a BindingKind)> {
    let name = match request.headers().get(BINDING_HEADER) {
        Some(value) => std::str::from_utf8(value.as_bytes()).ok()?,
        None => binding_of_connect(caller, request)?,
    };
    caller.bindings.get_key_value(name).map(|(name, kind)| (name.as_str(), kind))
}
