//! `skerry token`: API tokens.

use http::Method;
use serde_json::{Value, json};
use settings::Environment;

use super::data_folder;
use crate::{
    api::Api,
    arguments::{Data, Token},
    failure::Failure,
    printer,
};

/// Makes, lists or revokes.
pub(crate) async fn run(arguments: Token) -> Result<(), Failure> {
    match arguments {
        Token::Create { name, read_only, data } => create(&api(&data)?, &name, read_only).await,
        Token::List { data, json } => list(&api(&data)?, json).await,
        Token::Revoke { id, data } => {
            let revoked = api(&data)?.call(Method::DELETE, &format!("/user/tokens/{id}"), None).await;
            revoked.map_err(|failure| failure.hint("`skerry token list` shows each token's identifier"))?;
            printer::note(format_args!("revoked {id}"));
            Ok(())
        }
    }
}

fn api(data: &Data) -> Result<Api, Failure> {
    Api::find(&data_folder(data, &Environment::read())?)
}

async fn create(api: &Api, name: &str, is_read_only: bool) -> Result<(), Failure> {
    let groups = api.call(Method::GET, "/user/tokens/permission_groups", None).await?;
    let wanted = if is_read_only { "All Read" } else { "All Write" };
    let group = groups.as_array().into_iter().flatten().find(|group| group["name"] == wanted);
    let group =
        group.ok_or_else(|| Failure::new(format!("the server has no permission group `{wanted}`")))?;
    let account = format!("com.cloudflare.api.account.{}", api.credentials.account_id);
    let body = json!({
        "name": name,
        "policies": [{
            "effect": "allow",
            "resources": { account: "*" },
            "permission_groups": [{"id": group["id"]}],
        }],
    });
    let token = api.call(Method::POST, "/user/tokens", Some(body)).await?;
    printer::line(token["value"].as_str().unwrap_or_default());
    printer::note(format_args!(
        "its identifier is {}; the text above cannot be shown again",
        text(&token["id"])
    ));
    Ok(())
}

async fn list(api: &Api, is_json: bool) -> Result<(), Failure> {
    let tokens = api.call(Method::GET, "/user/tokens", None).await?;
    if is_json {
        printer::line(&tokens);
        return Ok(());
    }
    let row = |token: &Value| ["id", "status", "issued_on", "name"].map(|key| text(&token[key])).to_vec();
    printer::table(&tokens.as_array().into_iter().flatten().map(row).collect::<Vec<_>>());
    Ok(())
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
