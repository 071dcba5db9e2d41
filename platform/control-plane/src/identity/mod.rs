//! Who am I: the one user, the one account, its tokens.

mod tokens;

use axum::{Extension, Router, extract::State, http::StatusCode, routing::get};
use model::AccountId;
use serde_json::{Value, json};
use v4::{ACCOUNT_NAME, ApiError, Envelope, OWNER_EMAIL, Paging, Principal, code};

use crate::tokens::Tokens;

/// What these routes answer from.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    pub(crate) tokens: Tokens,
    pub(crate) account: AccountId,
}

/// All routes, with full paths below `/client/v4`.
pub(crate) fn router(identity: Identity) -> Router {
    Router::new()
        .route("/user", get(user_get))
        .route("/user/tokens", get(tokens::token_list).post(tokens::token_create))
        .route("/user/tokens/verify", get(token_verify))
        .route("/user/tokens/permission_groups", get(tokens::permission_group_list))
        .route("/user/tokens/{token}", get(tokens::token_get).delete(tokens::token_revoke))
        .route("/memberships", get(membership_list))
        .route("/accounts", get(account_list))
        .route("/accounts/{account_id}", get(account_get))
        .route("/accounts/{account_id}/tokens/verify", get(token_verify))
        .with_state(identity)
}

async fn user_get(State(identity): State<Identity>) -> Envelope<Value> {
    // There is one user as there is one account, so the account's id serves for both.
    Envelope::new(
        json!({"id": identity.account, "email": OWNER_EMAIL, "username": "owner", "suspended": false}),
    )
}

async fn token_verify(
    State(identity): State<Identity>,
    Extension(principal): Extension<Principal>,
) -> Result<Envelope<Value>, ApiError> {
    let Some(token) = identity.tokens.get(&principal.token) else {
        // Revoked since the middleware let it through.
        return Err(ApiError::new(StatusCode::UNAUTHORIZED, 1_000, "Invalid API Token"));
    };
    let status = token.status(identity.tokens.now_ms());
    Ok(Envelope::new(json!({"id": token.id, "status": status}))
        .with_message(code::AUTHENTICATION, "This API Token is valid and active"))
}

async fn membership_list(State(identity): State<Identity>, paging: Paging) -> Envelope<Vec<Value>> {
    let roles = json!(["Super Administrator - All Privileges"]);
    let account = account_answer(&identity.account);
    paging
        .cut(vec![json!({"id": identity.account, "status": "accepted", "account": account, "roles": roles})])
}

async fn account_list(State(identity): State<Identity>, paging: Paging) -> Envelope<Vec<Value>> {
    paging.cut(vec![account_answer(&identity.account)])
}

async fn account_get(State(identity): State<Identity>) -> Envelope<Value> {
    Envelope::new(account_answer(&identity.account))
}

fn account_answer(account: &AccountId) -> Value {
    json!({"id": account, "name": ACCOUNT_NAME, "type": "standard"})
}
