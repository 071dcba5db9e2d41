//! The life of one request: refuse what is not fit to be passed on, find the Worker, send, repeat what may be repeated,
//! and hand the answer on.

use std::time::Duration;

use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version,
    header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, SERVER, TRANSFER_ENCODING},
    uri::PathAndQuery,
};
use model::VersionId;
use workers::{Route, Target};

use crate::{
    Answer, Body, Client, DispatchError, Inbound, Ingress, RequestBody, Scheme,
    fault::{Fault, FaultKind},
    headers::{self, CF_EW_VIA, CF_RAY},
    host::Host,
    limits::{INVOCATIONS_MAX, REPEATS_MAX, SEND_ATTEMPTS_MAX, URI_BYTES_MAX},
    page::{self, Format, Occasion},
    ray::Ray,
    rollout, target, trace, websocket,
};

/// workerd's own answer when the Worker threw: told from a Worker's by `Connection: close` without `Content-Type`, neither
/// of which a Worker can bring about together with this length (observed with the pinned version).
const THREW_BODY_BYTES: &str = "21";

/// Between the commit of a deployment and its publication lie some milliseconds.
const REPLACED_PAUSE: Duration = Duration::from_millis(10);

/// Paths that belong to the platform.
const RESERVED_PATHS: &str = "/cdn-cgi/";

/// What error pages and logs need of a request that is gone by then.
struct Asked {
    ray: Ray,
    format: Format,
    host: Option<Host>,
}

impl Ingress {
    /// Answers one request.
    pub async fn handle(&self, client: &Client, request: Request<Inbound>) -> Response<Body> {
        let began = self.0.clock.monotonic();
        let host = Host::of(&request);
        let asked = Asked {
            ray: Ray::random(),
            format: Format::of(request.headers()),
            host: host.as_ref().ok().cloned(),
        };
        let line = tracing::enabled!(tracing::Level::DEBUG)
            .then(|| (request.method().clone(), request.uri().path().to_owned()));
        let answered = match host {
            Ok(host) => self.answer(client, asked.ray, host, request).await,
            Err(fault) => Err(fault),
        };
        let mut response = answered.unwrap_or_else(|fault| self.refuse(&asked, &fault));
        response.headers_mut().insert(CF_RAY, self.0.prepared.ray(asked.ray));
        response.headers_mut().insert(SERVER, HeaderValue::from_static("skerry"));
        let took = self.0.clock.monotonic().saturating_duration_since(began);
        self.0.metrics.answered(response.status(), took);
        if let Some((method, path)) = line {
            let host = asked.host.as_ref().map_or("", Host::name);
            let status = response.status().as_u16();
            let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
            tracing::debug!(ray = %asked.ray, client = %client.address, %method, host, path, status, took_us, "Answered");
        }
        response
    }

    async fn answer(
        &self,
        client: &Client,
        ray: Ray,
        host: Host,
        mut request: Request<Inbound>,
    ) -> Result<Response<Body>, Fault> {
        *request.uri_mut() = target::normal(std::mem::take(request.uri_mut()))?;
        check(&request, self.0.settings.body_bytes_max)?;
        if !client.may_ask_for(host.name()) {
            return Err(Fault::new(
                FaultKind::Misdirected,
                "the connection's certificate is not for this host",
            ));
        }
        if request.uri().path().starts_with(RESERVED_PATHS) {
            return trace::answer(self, client, &host, &request);
        }
        // Before any Worker, but only while an order waits for it: all other tokens are the Worker's own affair.
        if let Some(answer) = self.0.challenges.answer(host.name(), request.uri().path()) {
            return Ok(Response::new(Body::text(answer)));
        }
        let target = Target {
            is_https: client.scheme == Scheme::Https,
            host: host.name(),
            path_and_query: request.uri().path_and_query().map_or("/", PathAndQuery::as_str),
        };
        let Some(route) = self.0.routes.find(&target) else {
            let unknown =
                || Fault::new(FaultKind::UnknownHost, "no Worker and no public bucket has this host");
            let site = self.0.sites.find(host.name()).ok_or_else(unknown)?;
            let bytes_max = self.0.settings.body_bytes_max;
            let response = site(request.map(|body| RequestBody::new(body, bytes_max))).await;
            return Ok(response.map(|body| body.with_ray(ray)));
        };
        let version = rollout::version_for(&route, request.headers()).ok_or_else(|| {
            Fault::new(FaultKind::NotDeployed, format!("`{}` has no deployment", route.script))
        })?;
        let invocations_left = invocations_left(client, request.headers())?;
        let taken_over = websocket::is_asked_for(&request).then(|| hyper::upgrade::on(&mut request));

        let mut request = self.for_process(client, ray, &host, request)?;
        if let Some(left) = invocations_left {
            request.headers_mut().insert(CF_EW_VIA, HeaderValue::from(left));
        }
        if taken_over.is_some() {
            websocket::announce(request.headers_mut());
        }
        let Answer { mut response, hold } = self.send(&route, version, request).await?;
        if has_thrown(&response) {
            return Err(Fault::new(FaultKind::Threw, format!("`{}` threw; its log says what", route.script)));
        }
        let is_upgrade = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        headers::to_client(response.headers_mut());
        match taken_over {
            Some(client) if is_upgrade => {
                let process = hyper::upgrade::on(&mut response);
                websocket::announce(response.headers_mut());
                self.0.metrics.upgraded();
                websocket::carry(&self.0.tasks, &self.0.settings, ray, client, process, hold);
            }
            Some(_) | None if is_upgrade => {
                return Err(Fault::new(
                    FaultKind::Lost,
                    "a WebSocket answer to a request that asked for none",
                ));
            }
            Some(_) | None => {}
        }
        Ok(response.map(|body| body.with_ray(ray)))
    }

    /// The request as the process gets it.
    fn for_process(
        &self,
        client: &Client,
        ray: Ray,
        host: &Host,
        request: Request<Inbound>,
    ) -> Result<Request<RequestBody>, Fault> {
        let (mut head, body) = request.into_parts();
        self.0.prepared.to_process(&mut head.headers, head.version, client, ray);
        head.headers.insert(HOST, host.header());
        head.version = Version::HTTP_11;
        head.extensions.clear();
        Ok(Request::from_parts(head, RequestBody::new(body, self.0.settings.body_bytes_max)))
    }

    /// Sends a request until there is an answer or no hope of one.
    async fn send(
        &self,
        route: &Route,
        mut version: VersionId,
        mut request: Request<RequestBody>,
    ) -> Result<Answer, Fault> {
        let spare = engine::copy_if_repeatable(&request);
        let body_end = request.body().end();
        let mut repeats = 0;
        let mut attempts = 1;
        loop {
            let cause = match self.0.dispatch.send(version, request).await {
                Ok(answer) => return Ok(answer),
                Err(DispatchError::Replaced(unsent)) if attempts < SEND_ATTEMPTS_MAX => {
                    attempts += 1;
                    request = *unsent;
                    tokio::time::sleep(REPLACED_PAUSE).await;
                    let newest = self.0.routes.find_script(&route.script);
                    let newest = newest.and_then(|route| rollout::version_for(&route, request.headers()));
                    version = newest.unwrap_or(version);
                    "the version was replaced".to_owned()
                }
                Err(DispatchError::Replaced(_)) => {
                    let cause = format!("`{}`: its versions replace each other", route.script);
                    return Err(Fault::new(FaultKind::Unavailable, cause));
                }
                Err(DispatchError::Start(error)) => return Err(Fault::from_start(&route.script, &error)),
                Err(DispatchError::Unsent { request: unsent, cause }) if attempts < SEND_ATTEMPTS_MAX => {
                    attempts += 1;
                    request = *unsent;
                    cause
                }
                Err(DispatchError::Unsent { cause, .. }) => {
                    return Err(Fault::new(FaultKind::Unavailable, format!("`{}`: {cause}", route.script)));
                }
                Err(DispatchError::Lost(_)) if body_end.is_too_large() => {
                    return Err(Fault::new(FaultKind::BodyTooLarge, "the body grew beyond the limit"));
                }
                Err(DispatchError::Lost(cause)) if body_end.is_broken_off() => {
                    return Err(Fault::new(FaultKind::ClientGone, cause));
                }
                Err(DispatchError::Lost(cause)) => match &spare {
                    Some(spare) if repeats < REPEATS_MAX => {
                        repeats += 1;
                        request = spare.clone().map(|()| RequestBody::empty());
                        cause
                    }
                    Some(_) | None => {
                        return Err(Fault::new(FaultKind::Lost, format!("`{}`: {cause}", route.script)));
                    }
                },
            };
            tracing::debug!(script = %route.script, %version, %cause, "Sending a request again");
        }
    }

    /// The page for a failure; the one place where failures are logged.
    fn refuse(&self, asked: &Asked, fault: &Fault) -> Response<Body> {
        self.0.metrics.failed(fault.kind);
        let facts = fault.kind.facts();
        let host = asked.host.as_ref().map(Host::name);
        let (ray, error, code) = (asked.ray, facts.name, facts.code);
        match facts.level {
            tracing::Level::ERROR => {
                tracing::error!(%ray, host, error, code, cause = %fault, "{}", facts.title);
            }
            tracing::Level::WARN => {
                tracing::warn!(%ray, host, error, code, cause = %fault, "{}", facts.title);
            }
            _ => {
                tracing::debug!(%ray, host, error, code, cause = %fault, "{}", facts.title);
            }
        }
        let occasion = Occasion {
            kind: fault.kind,
            ray,
            host,
            base_domain: &self.0.settings.base_domain,
            unix_secs: self.0.clock.unix_secs(),
        };
        page::answer(&occasion, asked.format)
    }
}

/// Refuses what hyper accepts and must not be passed on.
fn check(request: &Request<Inbound>, body_bytes_max: u64) -> Result<(), Fault> {
    if matches!(*request.method(), Method::CONNECT | Method::TRACE) {
        return Err(Fault::new(FaultKind::MethodRefused, "CONNECT and TRACE are not for Workers"));
    }
    if !request.uri().path().starts_with('/') {
        return Err(Fault::bad_request("the target is not a path"));
    }
    if URI_BYTES_MAX < request.uri().path_and_query().map_or(0, |target| target.as_str().len()) {
        return Err(Fault::new(FaultKind::UriTooLong, "the path and query are too long"));
    }
    // hyper looks only at the last coding; one that it does not undo would reach the Worker as if it were the content.
    let mut codings = request.headers().get_all(TRANSFER_ENCODING).iter();
    let is_known = |coding: &HeaderValue| coding.as_bytes().eq_ignore_ascii_case(b"chunked");
    if codings.next().is_some_and(|coding| !is_known(coding)) || codings.next().is_some() {
        return Err(Fault::bad_request("a transfer coding other than chunked"));
    }
    if body_bytes_max < http_body::Body::size_hint(request.body()).lower() {
        return Err(Fault::new(FaultKind::BodyTooLarge, "the announced body is too large"));
    }
    Ok(())
}

/// How many Workers a Worker's request may still pass through; a visitor's is not counted.
fn invocations_left(client: &Client, headers: &HeaderMap) -> Result<Option<u32>, Fault> {
    if !client.is_worker {
        return Ok(None);
    }
    let left = headers.get(CF_EW_VIA).and_then(|value| value.to_str().ok()?.parse().ok());
    match left.unwrap_or(INVOCATIONS_MAX).min(INVOCATIONS_MAX).checked_sub(1) {
        Some(left) => Ok(Some(left)),
        None => Err(Fault::new(FaultKind::LoopLimit, "the request passed through too many Workers")),
    }
}

fn has_thrown(response: &Response<Body>) -> bool {
    let headers = response.headers();
    response.status() == StatusCode::INTERNAL_SERVER_ERROR
        && headers.get(CONNECTION).is_some_and(|value| value == "close")
        && headers.get(CONTENT_LENGTH).is_some_and(|value| value == THREW_BODY_BYTES)
        && !headers.contains_key(CONTENT_TYPE)
}

impl Fault {
    fn from_start(script: &model::ScriptName, error: &engine::StartError) -> Self {
        let kind = match error {
            engine::StartError::Rejected(_) => FaultKind::Rejected,
            // Deleted between the look at the table and now.
            engine::StartError::Missing(_) => FaultKind::NotDeployed,
            engine::StartError::Replaced(_)
            | engine::StartError::CrashLoop { .. }
            | engine::StartError::Unavailable(_) => FaultKind::Unavailable,
        };
        Self::new(kind, format!("`{script}`: {error}"))
    }
}
