//! Lays out the API address: `/client/v4` with every product's routes behind authentication, and `/metrics`.

use std::{net::IpAddr, panic::AssertUnwindSafe, sync::Arc};

use axum::{
    Router,
    extract::{DefaultBodyLimit, MatchedPath, Request},
    http::{
        HeaderMap, HeaderName, HeaderValue, StatusCode,
        header::{CONTENT_TYPE, HOST},
    },
    middleware::{Next, from_fn, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::get,
};
use futures_util::FutureExt;
use model::AccountId;
use product::Dataset;
use tracing::Instrument;
use v4::{ApiError, code, no_route, wrong_method};

use crate::{
    authenticate::{Gate, authenticate},
    graphql::{self, Analytics},
    identity::{self, Identity},
    patience::watch_bodies,
    tokens::Tokens,
};

/// Largest request body unless a product's route says otherwise.
const BODY_BYTES_MAX: usize = 1024 * 1024;

/// Identifies a request in its answer; wrangler shows it beside an answer it cannot read.
const RAY: HeaderName = HeaderName::from_static("cf-ray");

/// What Prometheus asks for.
const METRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What the API is made of.
pub struct ControlPlane {
    /// The one account.
    pub account: AccountId,
    /// Who may call.
    pub tokens: Tokens,
    /// The products' routes, with full paths below `/client/v4`.
    pub products: Vec<Router>,
    /// Routes that need no token, with full paths: whoever knows one of their URLs was told it by somebody with a token.
    pub signed: Vec<Router>,
    /// The products' figures.
    pub datasets: Vec<Dataset>,
    /// Writes the metrics in Prometheus' text form.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
    /// Whether only this machine reaches the address. Then no foreign host name is asked for in good faith.
    pub is_loopback: bool,
}

impl std::fmt::Debug for ControlPlane {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("ControlPlane").field("account", &self.account).finish_non_exhaustive()
    }
}

/// The whole API address as one service.
pub fn router(control_plane: ControlPlane) -> Router {
    let ControlPlane { account, tokens, products, signed, datasets, metrics, is_loopback } = control_plane;
    let gate = Gate { tokens: tokens.clone(), account: account.clone() };
    let analytics = graphql::router(Analytics { account: account.clone(), datasets });
    let v4 = products
        .into_iter()
        .fold(identity::router(Identity { tokens, account }), Router::merge)
        .merge(analytics)
        .method_not_allowed_fallback(wrong_method)
        .fallback(no_route)
        .layer(from_fn_with_state(gate, authenticate))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX));
    signed
        .into_iter()
        .fold(Router::new(), Router::merge)
        .nest("/client/v4", v4)
        .route("/metrics", get(async move |headers: HeaderMap| metrics_for(&headers, is_loopback, &*metrics)))
        .method_not_allowed_fallback(wrong_method)
        .fallback(no_route)
        .layer(from_fn(watch_bodies))
        .layer(from_fn(observe))
}

/// The metrics need no token, so on a loopback address the host has to be this machine's own: a web page that has its name
/// resolved to 127.0.0.1 would read them in its visitor's browser otherwise. All other routes are safe from it by the token.
fn metrics_for(
    headers: &HeaderMap,
    is_loopback: bool,
    metrics: &(dyn Fn() -> String + Send + Sync),
) -> Result<Response, ApiError> {
    if is_loopback && headers.get(HOST).is_some_and(|host| !host.to_str().is_ok_and(is_own)) {
        let message = "/metrics answers to this machine's own names only: ask for 127.0.0.1 or localhost";
        return Err(ApiError::new(StatusCode::FORBIDDEN, code::AUTHENTICATION, message));
    }
    Ok(([(CONTENT_TYPE, METRICS_TYPE)], metrics()).into_response())
}

/// Whether a host, with or without a port, is an address, `localhost` or below it: names that no page can have resolved.
fn is_own(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let address = name.trim_start_matches('[').trim_end_matches(']');
    address.parse::<IpAddr>().is_ok() || name == "localhost" || name.ends_with(".localhost")
}

/// Gives each request its ray, turns a panic into an answer, and writes one line.
async fn observe(request: Request, next: Next) -> Response {
    let ray = ray();
    let method = request.method().clone();
    let path = request.extensions().get::<MatchedPath>().cloned();
    // What goes wrong inside is logged within the span, so the ray in an answer finds its line.
    let span = tracing::info_span!("api", ray);
    let caught = AssertUnwindSafe(next.run(request)).catch_unwind().instrument(span.clone()).await;
    let mut response =
        caught.unwrap_or_else(|_| span.in_scope(|| ApiError::internal("a handler panicked").into_response()));
    let route = path.as_ref().map_or("-", MatchedPath::as_str);
    tracing::debug!(%method, route, status = response.status().as_u16(), ray, "Answered an API request");
    if let Ok(value) = HeaderValue::from_str(&ray) {
        response.headers_mut().insert(RAY, value);
    }
    response
}

/// 16 hex digits. They need not be secret, only different.
fn ray() -> String {
    let mut bytes = [0; 8];
    // Without random bytes nothing else works either; a ray of zeros is the least of it.
    let _ = getrandom::fill(&mut bytes);
    hex::encode(bytes)
}
