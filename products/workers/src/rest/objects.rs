//! Namespaces of Durable Objects. What is in them is another room's.

use std::sync::Arc;

use axum::extract::{Path, State};
use serde_json::{Value, json};
use v4::{ApiError, Envelope, Paging};

use crate::{error::WorkersError, register::Register, store::objects::ObjectNamespace};

/// `GET …/durable_objects/namespaces`
pub(super) async fn namespace_list(
    State(register): State<Arc<Register>>,
    paging: Paging,
) -> Result<Envelope<Vec<Value>>, ApiError> {
    let namespaces = register.object_namespaces().await?;
    Ok(paging.cut(namespaces.iter().map(namespace_answer).collect()))
}

/// `GET …/durable_objects/namespaces/{id}`
pub(super) async fn namespace_get(
    State(register): State<Arc<Register>>,
    Path((_, id)): Path<(String, String)>,
) -> Result<Envelope<Value>, ApiError> {
    let namespaces = register.object_namespaces().await?;
    let found = namespaces.iter().find(|namespace| namespace.class.namespace.as_str() == id);
    Ok(Envelope::new(namespace_answer(found.ok_or(WorkersError::ObjectNamespaceMissing(id))?)))
}

fn namespace_answer(namespace: &ObjectNamespace) -> Value {
    let ObjectNamespace { class, script, .. } = namespace;
    json!({
        "id": class.namespace,
        "name": format!("{script}_{}", class.name),
        "script": script,
        "class": class.name,
        "use_sqlite": class.has_sql,
    })
}
