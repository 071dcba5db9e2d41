//! Tokens over the API: made (the text is in that answer only), listed, revoked.

use axum::{extract::State, http::StatusCode};
use model::TokenId;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use v4::{ApiError, Envelope, Json, Paging, Path, code, rfc3339};

use super::Identity;
use crate::{
    scope::{self, GROUPS, Policy},
    tokens::{NewToken, TOKEN_NAME_BYTES_MAX, Token, TokenError},
};

#[derive(Deserialize)]
pub(super) struct TokenRequest {
    name: String,
    policies: Vec<Policy>,
    not_before: Option<String>,
    expires_on: Option<String>,
    condition: Option<Map<String, Value>>,
}

/// `GET /user/tokens`
pub(super) async fn token_list(State(identity): State<Identity>, paging: Paging) -> Envelope<Vec<Value>> {
    let now_ms = identity.tokens.now_ms();
    paging.cut(identity.tokens.list().iter().map(|token| token_answer(token, now_ms)).collect())
}

/// `GET /user/tokens/{token}`
pub(super) async fn token_get(
    State(identity): State<Identity>,
    Path(id): Path<String>,
) -> Result<Envelope<Value>, ApiError> {
    let id = parse_id(&id)?;
    let token = identity.tokens.get(&id).ok_or_else(|| TokenError::Missing(id.to_string()))?;
    Ok(Envelope::new(token_answer(&token, identity.tokens.now_ms())))
}

/// `POST /user/tokens`
pub(super) async fn token_create(
    State(identity): State<Identity>,
    Json(body): Json<TokenRequest>,
) -> Result<Envelope<Value>, ApiError> {
    if body.name.is_empty() || TOKEN_NAME_BYTES_MAX < body.name.len() {
        let message = format!("a token's name has 1 to {TOKEN_NAME_BYTES_MAX} bytes");
        return Err(TokenError::Invalid(message).into());
    }
    // A restriction that would not be enforced must not look as if it were.
    if body.condition.is_some_and(|condition| !condition.is_empty()) {
        return Err(TokenError::Invalid("conditions on tokens are not supported yet".to_owned()).into());
    }
    scope::check(&body.policies, &identity.account).map_err(TokenError::Invalid)?;
    let new = NewToken {
        name: body.name,
        policies: body.policies,
        not_before_ms: body.not_before.as_deref().map(unix_ms).transpose()?,
        expires_ms: body.expires_on.as_deref().map(unix_ms).transpose()?,
    };
    let (token, text) = identity.tokens.create(new).await?;
    tracing::info!(token.id = %token.id, "Made an API token");
    let mut answer = token_answer(&token, identity.tokens.now_ms());
    answer["value"] = json!(text);
    Ok(Envelope::new(answer))
}

/// `DELETE /user/tokens/{token}`
pub(super) async fn token_revoke(
    State(identity): State<Identity>,
    Path(id): Path<String>,
) -> Result<Envelope<Value>, ApiError> {
    let id = parse_id(&id)?;
    identity.tokens.revoke(&id).await?;
    tracing::info!(token.id = %id, "Revoked an API token");
    Ok(Envelope::new(json!({"id": id})))
}

/// `GET /user/tokens/permission_groups`
pub(super) async fn permission_group_list() -> Envelope<Vec<Value>> {
    let scopes = json!(["com.cloudflare.api.account"]);
    Envelope::new(
        GROUPS.iter().map(|group| json!({"id": group.id, "name": group.name, "scopes": scopes})).collect(),
    )
}

impl From<TokenError> for ApiError {
    fn from(error: TokenError) -> Self {
        match &error {
            TokenError::Missing(_) => Self::new(StatusCode::NOT_FOUND, 1_003, error.to_string()),
            TokenError::Invalid(_) => {
                Self::new(StatusCode::BAD_REQUEST, code::BAD_REQUEST, error.to_string())
            }
            TokenError::Damaged(_) | TokenError::Random(_) | TokenError::Store(_) | TokenError::Vault(_) => {
                Self::internal(&error)
            }
        }
    }
}

fn token_answer(token: &Token, now_ms: u64) -> Value {
    json!({
        "id": token.id,
        "name": token.name,
        "status": token.status(now_ms),
        "policies": token.policies,
        "issued_on": rfc3339(token.issued_ms),
        "modified_on": rfc3339(token.issued_ms),
        "not_before": token.not_before_ms.map(rfc3339),
        "expires_on": token.expires_ms.map(rfc3339),
    })
}

fn parse_id(text: &str) -> Result<TokenId, TokenError> {
    text.parse().map_err(|_cause| TokenError::Missing(text.to_owned()))
}

fn unix_ms(text: &str) -> Result<u64, TokenError> {
    let time = OffsetDateTime::parse(text, &Rfc3339).ok();
    time.and_then(|time| u64::try_from(time.unix_timestamp_nanos() / 1_000_000).ok())
        .ok_or_else(|| TokenError::Invalid(format!("`{text}` is not a time such as 2026-01-31T12:00:00Z")))
}
