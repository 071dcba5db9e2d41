//! A Worker's `fetch()` to a host that this installation serves: it goes to the ingress directly, not over the network.

use std::{net::Ipv4Addr, sync::Arc};

use axum::{
    body::Body,
    http::{Request, Response, uri::Scheme as UriScheme},
};
use futures_util::{FutureExt, future::BoxFuture};
use http_body_util::BodyExt;
use ingress::{Client, Inbound, Ingress, Scheme};
use model::Caller;
use workers::Routes;

use crate::public_buckets::PublicBuckets;

/// The ingress as the egress sees it.
pub(crate) struct Local {
    ingress: Ingress,
    routes: Routes,
    buckets: PublicBuckets,
}

impl Local {
    pub(crate) fn new(ingress: Ingress, routes: Routes, buckets: PublicBuckets) -> Self {
        Self { ingress, routes, buckets }
    }
}

impl egress::LocalHosts for Local {
    fn serves(&self, host: &str) -> bool {
        self.routes.serves(host) || self.buckets.serves(host)
    }

    fn dispatch(&self, _caller: Arc<Caller>, request: Request<Body>) -> BoxFuture<'static, Response<Body>> {
        let ingress = self.ingress.clone();
        async move {
            let is_https = request.uri().scheme() == Some(&UriScheme::HTTPS);
            let scheme = if is_https { Scheme::Https } else { Scheme::Http };
            // The request comes from this machine; Cloudflare shows an address of its own here as well.
            let client = Client::worker(Ipv4Addr::LOCALHOST.into(), scheme);
            let request = request.map(|body| Inbound::Inside(body.map_err(Into::into).boxed_unsync()));
            ingress.handle(&client, request).await.map(Body::new)
        }
        .boxed()
    }
}
