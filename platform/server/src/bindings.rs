//! What a Worker's bindings speak to. Each process has a socket of its own, so the caller is known before it says a word;
//! the header that workerd adds only chooses among the caller's own bindings.

use std::{convert::Infallible, sync::Arc};

use axum::{
    body::Body,
    http::{Request, Response, StatusCode},
};
use futures_util::{FutureExt, future::BoxFuture};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use model::{BindingKind, Caller};
use product::{BindingDoor, ConnectionDoor};
use tasks::Clock;
use telemetry::{Family, Histogram, Label, Metrics};
use workerd_wire::headers::BINDING_HEADER;

/// The products that bindings can name.
#[derive(Clone)]
pub(crate) struct Bindings {
    kv: BindingDoor,
    kv_seconds: Histogram,
    clock: Clock,
}

impl Bindings {
    pub(crate) fn new(kv: BindingDoor, metrics: &Metrics, clock: Clock) -> Self {
        let seconds = Family::<Label, Histogram>::new_with_constructor(Metrics::seconds_histogram);
        let seconds =
            metrics.register("binding_request_seconds", "Time until a binding was answered", seconds);
        let kv_seconds = seconds.get_or_create(&[("product", "kv")]).clone();
        Self { kv, kv_seconds, clock }
    }

    async fn answer(
        self,
        caller: Arc<Caller>,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Infallible> {
        let name = request
            .headers()
            .get(BINDING_HEADER)
            .and_then(|value| std::str::from_utf8(value.as_bytes()).ok());
        let response = match name.and_then(|name| caller.bindings.get(name)) {
            Some(BindingKind::KvNamespace(namespace)) => {
                let began = self.clock.monotonic();
                let answer = (self.kv)(namespace.as_str().into(), request.map(Body::new)).await;
                self.kv_seconds.observe(began.elapsed().as_secs_f64());
                answer
            }
            Some(
                BindingKind::PlainText(_)
                | BindingKind::Json(_)
                | BindingKind::SecretText(_)
                | BindingKind::VersionMetadata
                | BindingKind::WasmModule(_)
                | BindingKind::TextBlob(_)
                | BindingKind::DataBlob(_),
            )
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
            let served = protocol.serve_connection(TokioIo::new(connection), service).await;
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
