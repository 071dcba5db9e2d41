//! Namespaces as the account lists them.

use std::sync::Arc;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use v4::{ApiError, Envelope, Json, Paging, Path, Query};

use super::find_namespace;
use crate::{
    KvError,
    model::{Namespace, Title},
    store::{Order, Store},
};

/// A namespace on this wire.
#[derive(Debug, Serialize)]
pub(super) struct WireNamespace {
    #[serde(flatten)]
    namespace: Namespace,
    /// Keys in paths are decoded; it was once otherwise.
    supports_url_encoding: bool,
}

impl From<Namespace> for WireNamespace {
    fn from(namespace: Namespace) -> Self {
        Self { namespace, supports_url_encoding: true }
    }
}

#[derive(Deserialize)]
pub(super) struct ListParameters {
    order: Option<String>,
    direction: Option<String>,
}

pub(super) async fn namespace_list(
    State(store): State<Arc<Store>>,
    Query(parameters): Query<ListParameters>,
    paging: Paging,
) -> Result<Envelope<Vec<WireNamespace>>, ApiError> {
    let order = Order {
        by_title: parameters.order.as_deref() == Some("title"),
        is_descending: parameters.direction.as_deref() == Some("desc"),
    };
    let namespaces = store.namespace_list(order).await?;
    Ok(paging.cut(namespaces.into_iter().map(WireNamespace::from).collect()))
}

#[derive(Deserialize)]
pub(super) struct TitleBody {
    #[serde(default)]
    title: String,
}

pub(super) async fn namespace_create(
    State(store): State<Arc<Store>>,
    Json(body): Json<TitleBody>,
) -> Result<Envelope<WireNamespace>, ApiError> {
    let namespace = store.namespace_create(Title::parse(body.title)?).await?;
    Ok(Envelope::new(namespace.into()))
}

type NamespacePath = Path<(String, String)>;

pub(super) async fn namespace_read(
    State(store): State<Arc<Store>>,
    Path((_account, id)): NamespacePath,
) -> Result<Envelope<WireNamespace>, ApiError> {
    let id = find_namespace(&store, &id)?;
    let namespace = store.namespace_get(&id).map_err(KvError::from)?.ok_or(KvError::NamespaceMissing)?;
    Ok(Envelope::new(namespace.into()))
}

pub(super) async fn namespace_rename(
    State(store): State<Arc<Store>>,
    Path((_account, id)): NamespacePath,
    Json(body): Json<TitleBody>,
) -> Result<Envelope<WireNamespace>, ApiError> {
    let id = find_namespace(&store, &id)?;
    let namespace = store.namespace_rename(id, Title::parse(body.title)?).await?;
    Ok(Envelope::new(namespace.into()))
}

pub(super) async fn namespace_delete(
    State(store): State<Arc<Store>>,
    Path((_account, id)): NamespacePath,
) -> Result<Envelope<()>, ApiError> {
    let id = find_namespace(&store, &id)?;
    store.namespace_delete(id).await?;
    Ok(Envelope::new(()))
}
