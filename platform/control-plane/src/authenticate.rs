//! Who calls, and may they: the middleware in front of every route below `/client/v4`. Codes and sentences are
//! Cloudflare's as observed: 9106 without credentials, 6003 for credentials of a wrong form; for an unknown token 1000 at
//! `verify`, 9109 about user and accounts, 10000 at a product's routes.

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderName, StatusCode, header::AUTHORIZATION},
    middleware::Next,
    response::Response,
};
use model::AccountId;
use v4::{ApiError, Principal, code};

use crate::{scope, tokens::Tokens};

const AUTH_KEY: HeaderName = HeaderName::from_static("x-auth-key");
const AUTH_EMAIL: HeaderName = HeaderName::from_static("x-auth-email");

/// Longest credential that is looked at.
const CREDENTIAL_BYTES_MAX: usize = 1_024;

/// What the middleware compares with.
#[derive(Debug, Clone)]
pub(crate) struct Gate {
    pub(crate) tokens: Tokens,
    pub(crate) account: AccountId,
}

/// Lets a request through with its [`Principal`], or answers why not. Its path begins below `/client/v4`.
pub(crate) async fn authenticate(
    State(gate): State<Gate>,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let text = credential(request.headers())?;
    let path = request.uri().path();
    let token = gate.tokens.recognise(text).ok_or_else(|| unknown(path))?;
    if !scope::allows(&token.policies, request.method(), path) {
        let message = "Authentication error: this token has no permission for that";
        return Err(ApiError::new(StatusCode::FORBIDDEN, code::AUTHENTICATION, message));
    }
    check_account(path, &gate.account)?;
    request.extensions_mut().insert(Principal { token: token.id.clone() });
    Ok(next.run(request).await)
}

/// The token's text, from either of the two ways to send one.
fn credential(headers: &HeaderMap) -> Result<&str, ApiError> {
    let mut bearers = headers.get_all(AUTHORIZATION).iter();
    if let Some(value) = bearers.next() {
        let text = value.to_str().ok().and_then(bearer).filter(|text| is_credential(text));
        return match (text, bearers.next()) {
            (Some(text), None) => Ok(text),
            _ => Err(malformed("Authorization")),
        };
    }
    // A global API key has no counterpart here; under its headers, too, a token is expected.
    let (Some(key), Some(_)) = (headers.get(AUTH_KEY), headers.get(AUTH_EMAIL)) else {
        let message = "Missing X-Auth-Key, X-Auth-Email or Authorization headers";
        return Err(ApiError::new(StatusCode::BAD_REQUEST, 9_106, message));
    };
    let text = key.to_str().ok().filter(|text| is_credential(text));
    text.ok_or_else(|| malformed("X-Auth-Key"))
}

fn bearer(value: &str) -> Option<&str> {
    let (scheme, text) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(text)
}

fn is_credential(text: &str) -> bool {
    let is_sign = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    !text.is_empty() && text.len() <= CREDENTIAL_BYTES_MAX && text.bytes().all(is_sign)
}

/// The answer to a token that is none: three parts of Cloudflare's API say it in three ways, and wrangler's `whoami`
/// and error hints depend on the second.
fn unknown(path: &str) -> ApiError {
    let of_account = path.strip_prefix("/accounts/").and_then(|rest| rest.split_once('/'));
    if path.ends_with("/tokens/verify") {
        return ApiError::new(StatusCode::UNAUTHORIZED, 1_000, "Invalid API Token");
    }
    if of_account.is_none() {
        return ApiError::new(StatusCode::FORBIDDEN, 9_109, "Invalid access token");
    }
    ApiError::new(StatusCode::UNAUTHORIZED, code::AUTHENTICATION, "Authentication error")
}

fn malformed(header: &str) -> ApiError {
    let message = format!("Invalid request headers: Invalid format for {header} header");
    ApiError::new(StatusCode::BAD_REQUEST, 6_003, message)
}

/// There is one account; a path that names another is refused before any route sees it.
fn check_account(path: &str, ours: &AccountId) -> Result<(), ApiError> {
    let Some(rest) = path.strip_prefix("/accounts/") else {
        return Ok(());
    };
    let named = rest.split('/').next().unwrap_or_default();
    if named == ours.as_str() {
        return Ok(());
    }
    if named.parse::<AccountId>().is_err() {
        let message =
            format!("Could not route to /client/v4{path}, perhaps your object identifier is invalid?");
        return Err(ApiError::new(StatusCode::NOT_FOUND, code::NO_ROUTE, message));
    }
    Err(ApiError::new(StatusCode::FORBIDDEN, code::AUTHENTICATION, "Authentication error: not your account"))
}
