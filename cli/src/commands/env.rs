//! `skerry env`: the lines that point wrangler, the SDKs and S3 clients at the server.

use server::{Addresses, Credentials};
use settings::{Environment, Settings};

use super::data_folder;
use crate::{arguments::Env, failure::Failure, printer};

/// Prints `export` lines.
pub(crate) fn run(arguments: &Env) -> Result<(), Failure> {
    let data = data_folder(&arguments.data, &Environment::read())?;
    let credentials =
        Credentials::read(&data).map_err(|error| Failure::doing("read credentials.json", error))?;
    let Some(credentials) = credentials else {
        return Err(Failure::new(format!("no server has been started on `{}` yet", data.display()))
            .hint("the first `skerry serve` makes the account and its token"));
    };
    let (api, s3) = origins(arguments, &data)?;
    let base = format!("{api}/client/v4");
    for (name, value) in [
        ("CLOUDFLARE_API_BASE_URL", base.as_str()),
        ("CLOUDFLARE_BASE_URL", &base),
        ("CLOUDFLARE_API_TOKEN", &credentials.token),
        ("CLOUDFLARE_ACCOUNT_ID", &credentials.account_id),
        ("WRANGLER_SEND_METRICS", "false"),
        ("AWS_ACCESS_KEY_ID", &credentials.token_id),
        ("AWS_SECRET_ACCESS_KEY", &credentials.s3_secret()),
        ("AWS_ENDPOINT_URL", &s3),
        ("AWS_REGION", "auto"),
    ] {
        printer::line(format_args!("export {name}={}", quote(value)));
    }
    Ok(())
}

/// Where the API and the S3 API answer.
fn origins(arguments: &Env, data: &std::path::Path) -> Result<(String, String), Failure> {
    let addresses =
        Addresses::read(data).map_err(|error| Failure::doing("read run/addresses.json", error))?;
    if let Some(addresses) = addresses.filter(|_| Addresses::is_served(data)) {
        return Ok((addresses.api, addresses.s3));
    }
    printer::hint(
        "the server does not run; these are the addresses that it is configured for (`skerry serve` starts it)",
    );
    let settings =
        Settings::load(arguments.config.as_deref()).map_err(|error| Failure::from_error(&error))?;
    let s3 = settings.server.s3.unwrap_or(server::S3_DEFAULT);
    Ok((format!("http://{}", settings.server.api), format!("http://{s3}")))
}

/// A shell word: as it is if nothing in it is special, else in single quotes.
fn quote(value: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-./:@%+,".contains(&byte);
    if value.bytes().all(is_plain) { value.to_owned() } else { format!("'{}'", value.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::quote;

    #[test]
    fn a_value_survives_the_shell() {
        assert_eq!(quote("http://127.0.0.1:8788/client/v4"), "http://127.0.0.1:8788/client/v4");
        assert_eq!(quote("a b'c$d"), r"'a b'\''c$d'");
    }
}
