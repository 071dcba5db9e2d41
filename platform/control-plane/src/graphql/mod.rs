//! Cloudflare's GraphQL Analytics API over the datasets that products offer: `viewer { accounts { dataset { … } } }`.
//! Only queries; no fragments, no directives, no introspection.

mod query;
mod select;

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::State,
    response::{IntoResponse, Response},
    routing::post,
};
use model::AccountId;
use product::Dataset;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use v4::ApiError;

use query::Field;

/// What queries select from.
pub(crate) struct Analytics {
    pub(crate) account: AccountId,
    pub(crate) datasets: Vec<Dataset>,
}

/// A request as GraphQL clients send it.
#[derive(Deserialize)]
struct Asked {
    query: String,
    #[serde(default)]
    variables: Option<Map<String, Value>>,
    #[serde(default, rename = "operationName")]
    operation_name: Option<String>,
}

/// Why a query has no answer.
#[derive(Debug)]
enum Refusal {
    /// The query is at fault: told in GraphQL's way, with status 200, as Cloudflare tells it.
    Query(String),
    /// We are.
    Own(ApiError),
}

impl From<String> for Refusal {
    fn from(message: String) -> Self {
        Self::Query(message)
    }
}

/// `POST /graphql`
pub(crate) fn router(analytics: Analytics) -> Router {
    Router::new().route("/graphql", post(answer)).with_state(Arc::new(analytics))
}

async fn answer(State(analytics): State<Arc<Analytics>>, v4::Json(asked): v4::Json<Asked>) -> Response {
    match analytics.run(asked).await {
        Ok(data) => Json(json!({"data": data, "errors": null})).into_response(),
        Err(Refusal::Query(message)) => {
            let error = json!({"message": message, "path": null, "extensions": {"code": "invalid"}});
            Json(json!({"data": null, "errors": [error]})).into_response()
        }
        Err(Refusal::Own(error)) => error.into_response(),
    }
}

impl Analytics {
    async fn run(&self, asked: Asked) -> Result<Value, Refusal> {
        let variables = asked.variables.unwrap_or_default();
        let roots = query::parse(&asked.query, asked.operation_name.as_deref(), &variables)?;
        let mut data = Map::new();
        for root in roots {
            let viewer = expect(&root, "viewer", "Query")?;
            let mut accounts = Map::new();
            for field in &viewer.fields {
                let answered = self.account(expect(field, "accounts", "viewer")?).await?;
                accounts.insert(field.key.clone(), answered);
            }
            data.insert(root.key.clone(), Value::Object(accounts));
        }
        Ok(Value::Object(data))
    }

    /// The one account, if it is the one that is asked for.
    async fn account(&self, asked: &Field) -> Result<Value, Refusal> {
        let tag = asked.arguments.get("filter").and_then(|filter| filter.get("accountTag"));
        if tag.is_some_and(|tag| tag != self.account.as_str()) {
            return Err(Refusal::Query("not authorized for that account".to_owned()));
        }
        let mut account = Map::new();
        for field in &asked.fields {
            let rows = if field.name == "accountTag" {
                json!(self.account)
            } else {
                let dataset = self.datasets.iter().find(|dataset| dataset.name == field.name);
                let dataset = dataset.ok_or_else(|| unknown(&field.name, "account"))?;
                let rows = (dataset.rows)(field.arguments.get("filter").unwrap_or(&Value::Null)).await;
                select::select(rows.map_err(|error| Refusal::Own(ApiError::internal(error)))?, field)?
            };
            account.insert(field.key.clone(), rows);
        }
        Ok(json!([account]))
    }
}

fn expect<'a>(field: &'a Field, name: &str, of: &str) -> Result<&'a Field, Refusal> {
    if field.name == name { Ok(field) } else { Err(unknown(&field.name, of).into()) }
}

fn unknown(field: &str, of: &str) -> String {
    format!("unknown field \"{field}\" for type \"{of}\"")
}
