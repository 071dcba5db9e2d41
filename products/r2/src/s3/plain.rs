//! The request that is made most: read one object whole, with the signature in a header or in the query, and nothing else
//! asked. `s3s` prepares for all that S3 can say of a get; here is only what this one needs.
//!
//! Nothing is refused here. What is not plain to the last byte, and what does not end in the object's bytes, is left to
//! `s3s`, which reads it from the start and says why. So nothing gets in that would not get in there, and both answer alike:
//! `tests/it/plain.rs` holds one against the other.

use std::borrow::Cow;

use axum::{
    body::{Body, HttpBody as _},
    extract::Request,
    http::{
        HeaderMap, HeaderName, HeaderValue, Method, Response,
        header::{self, AsHeaderName},
    },
};
use hmac::{Hmac, KeyInit as _, Mac as _};
use model::BucketName;
use percent_encoding::percent_decode_str;
use s3s::host::S3Host as _;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use time::{
    Duration, OffsetDateTime, PrimitiveDateTime, format_description::BorrowedFormatItem,
    macros::format_description,
};

use super::{
    AccessKeys, CLOCK_SKEW_S_MAX, describe,
    request::{self, Hosts, PRESIGNED_S_MAX},
};
use crate::{
    headers::{self, DEFAULT_CONTENT_TYPE},
    model::{Key, Object},
    store::{Found, Get, Store},
};

/// Stands for the hash of a body that is not hashed ahead (AWS: SigV4).
const UNSIGNED: &str = "UNSIGNED-PAYLOAD";

/// The SHA-256 of nothing.
const HASH_OF_NOTHING: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// Headers of S3's own that ask for nothing here.
const PLAIN_HEADERS: [&str; 4] =
    ["x-amz-checksum-mode", "x-amz-content-sha256", "x-amz-date", "x-amz-user-agent"];

/// Parameters that ask for nothing here: what SDKs add to every get.
const PLAIN_PARAMETERS: [(&str, &str); 3] =
    [("X-Amz-Content-Sha256", UNSIGNED), ("x-amz-checksum-mode", "ENABLED"), ("x-id", "GetObject")];

/// Parameters that say how a request is signed, beside the signature itself.
const SIGNING_PARAMETERS: [&str; 5] =
    ["X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-SignedHeaders"];

/// The time of a signature.
const MOMENT: &[BorrowedFormatItem<'_>] = format_description!("[year][month][day]T[hour][minute][second]Z");

/// An object that the maker of a request may read.
pub(super) struct Plain {
    bucket: BucketName,
    key: Key,
}

impl Plain {
    /// Reads a request; `None` if it is not plain or not signed rightly.
    pub(super) fn of(
        request: &Request,
        hosts: &Hosts,
        keys: &dyn AccessKeys,
        now: OffsetDateTime,
    ) -> Option<Self> {
        if request.method() != Method::GET || !request.body().is_end_stream() {
            return None;
        }
        let (path, headers) = (request.uri().path(), request.headers());
        let mut parameters = Parameters::of(request.uri().query().unwrap_or_default())?;
        let claim = match parameters.take("X-Amz-Signature") {
            Some(signature) => Claim::in_query(&parameters, headers, signature)?,
            None => Claim::in_headers(&parameters, headers)?,
        };
        if !is_escaped(path, b"/") || !headers.keys().all(|name| claim.has_plain(name)) {
            return None;
        }
        let secret = keys.find(claim.id).filter(|key| key.can_read)?.secret;
        let canonical = claim.canonical_request(path, &parameters, headers)?;
        if !claim.is_fresh(now) || !claim.is_right(&secret, &canonical) {
            return None;
        }
        let host = hosts.parse_host_header(unique(headers, header::HOST)?).ok()?;
        let path = path.strip_prefix('/')?;
        let (bucket, key) = match host.bucket() {
            Some(bucket) => (bucket, path),
            None => path.split_once('/')?,
        };
        let key = Key::parse(percent_decode_str(key).decode_utf8().ok()?).ok()?;
        Some(Self { bucket: request::bucket(bucket).ok()?, key })
    }

    /// Answers with the object, if it is there and can be read.
    pub(super) async fn read(self, store: &Store) -> Option<Response<Body>> {
        let Found { object, body } = store.get(&self.bucket, &self.key, Get::default()).ok()?;
        let (body, _) = body?;
        let mut response = Response::new(Body::empty());
        describe(&object, response.headers_mut())?;
        *response.body_mut() = body.into_body().await.ok()?;
        Some(response)
    }
}

/// A query, each name and value escaped as signatures have it, in the order of the names.
struct Parameters<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Parameters<'a> {
    fn of(query: &'a str) -> Option<Self> {
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        let mut pairs = pairs.map(|pair| pair.split_once('=')).collect::<Option<Vec<_>>>()?;
        pairs.sort_unstable();
        let are_unique = pairs.is_sorted_by(|(one, _), (next, _)| one < next);
        let are_escaped = pairs.iter().all(|(name, value)| is_escaped(name, b"") && is_escaped(value, b""));
        (are_unique && are_escaped).then_some(Self(pairs))
    }

    fn get(&self, name: &str) -> Option<&'a str> {
        self.0.iter().find_map(|(found, value)| (*found == name).then_some(*value))
    }

    fn take(&mut self, name: &str) -> Option<&'a str> {
        let at = self.0.iter().position(|(found, _)| *found == name)?;
        Some(self.0.remove(at).1)
    }

    /// Whether nothing is said in them but this and what asks for nothing.
    fn are_plain_beside(&self, names: &[&str]) -> bool {
        self.0.iter().all(|pair| names.contains(&pair.0) || PLAIN_PARAMETERS.contains(pair))
    }
}

/// What a request says of its signature (AWS: SigV4, authenticating requests).
struct Claim<'a> {
    id: &'a str,
    day: &'a str,
    region: &'a str,
    moment: &'a str,
    /// How long it holds from that moment on; `None` if it is not in the query.
    life: Option<Duration>,
    /// Names with semicolons between them.
    signed_headers: Cow<'a, str>,
    payload: &'a str,
    signature: &'a str,
}

impl<'a> Claim<'a> {
    fn in_query(parameters: &Parameters<'a>, headers: &HeaderMap, signature: &'a str) -> Option<Self> {
        if !parameters.are_plain_beside(&SIGNING_PARAMETERS)
            || parameters.get("X-Amz-Algorithm") != Some("AWS4-HMAC-SHA256")
            || headers.contains_key(header::AUTHORIZATION)
            || headers.contains_key("x-amz-content-sha256")
        {
            return None;
        }
        let life: u64 = parameters.get("X-Amz-Expires")?.parse().ok()?;
        if PRESIGNED_S_MAX < life {
            return None;
        }
        Self {
            moment: parameters.get("X-Amz-Date")?,
            life: Some(Duration::seconds(life.try_into().ok()?)),
            signed_headers: percent_decode_str(parameters.get("X-Amz-SignedHeaders")?).decode_utf8().ok()?,
            payload: UNSIGNED,
            signature,
            ..Self::of_credential(parameters.get("X-Amz-Credential")?.split("%2F"))?
        }
        .into()
    }

    fn in_headers(parameters: &Parameters<'_>, headers: &'a HeaderMap) -> Option<Self> {
        let authorization = unique(headers, header::AUTHORIZATION)?;
        let (credential, rest) =
            authorization.strip_prefix("AWS4-HMAC-SHA256 Credential=")?.split_once(',')?;
        let (signed_headers, rest) = rest.trim_start().strip_prefix("SignedHeaders=")?.split_once(',')?;
        let payload = unique(headers, "x-amz-content-sha256")?;
        if !parameters.are_plain_beside(&[]) || ![UNSIGNED, HASH_OF_NOTHING].contains(&payload) {
            return None;
        }
        Self {
            moment: unique(headers, "x-amz-date")?,
            signed_headers: signed_headers.into(),
            payload,
            signature: rest.trim_start().strip_prefix("Signature=")?,
            ..Self::of_credential(credential.split('/'))?
        }
        .into()
    }

    /// The parts of a credential: key, day, region, and what is the same for all that is plain.
    fn of_credential(mut parts: impl Iterator<Item = &'a str>) -> Option<Self> {
        let (id, day, region) = (parts.next()?, parts.next()?, parts.next()?);
        if !parts.eq(["s3", "aws4_request"]) || region.contains('%') {
            return None;
        }
        let signed_headers = Cow::Borrowed("");
        Some(Self { id, day, region, moment: "", life: None, signed_headers, payload: "", signature: "" })
    }

    /// Whether a header of the request asks for nothing; those of S3's own must be signed.
    fn has_plain(&self, name: &HeaderName) -> bool {
        let name = name.as_str();
        if name.starts_with("x-amz-") {
            return PLAIN_HEADERS.contains(&name)
                && self.signed_headers.split(';').any(|signed| signed == name);
        }
        name != "range" && !name.starts_with("if-")
    }

    /// The text that is signed, without the body (AWS: SigV4, canonical request).
    fn canonical_request(
        &self,
        path: &str,
        parameters: &Parameters<'_>,
        headers: &HeaderMap,
    ) -> Option<String> {
        let mut text = String::with_capacity(1024);
        text.extend(["GET\n", path, "\n"]);
        for (at, (name, value)) in parameters.0.iter().enumerate() {
            text.extend([if at == 0 { "" } else { "&" }, name, "=", value]);
        }
        text.push('\n');
        let mut before = "";
        for name in self.signed_headers.split(';') {
            let value = unique(headers, name)?;
            // A signature counts several spaces as one, and the names are in order.
            if value.contains("  ") || value.contains('\t') || name <= before {
                return None;
            }
            text.extend([name, ":", value, "\n"]);
            before = name;
        }
        text.extend(["\n", &*self.signed_headers, "\n", self.payload]);
        self.signed_headers.split(';').any(|name| name == "host").then_some(text)
    }

    fn is_fresh(&self, now: OffsetDateTime) -> bool {
        let Ok(moment) = PrimitiveDateTime::parse(self.moment, MOMENT) else { return false };
        let (age, skew) = (now - moment.assume_utc(), Duration::seconds(CLOCK_SKEW_S_MAX.into()));
        let is_of_day = self.day.len() == "YYYYMMDD".len() && self.moment.starts_with(self.day);
        -skew <= age && age <= self.life.unwrap_or(skew) && is_of_day
    }

    /// Whether the signature is the secret's.
    fn is_right(&self, secret: &str, canonical_request: &str) -> bool {
        let Self { day, region, moment, .. } = *self;
        let hash = hex::encode(Sha256::digest(canonical_request));
        let text = format!("AWS4-HMAC-SHA256\n{moment}\n{day}/{region}/s3/aws4_request\n{hash}");
        let key = [day, region, "s3", "aws4_request", &text]
            .into_iter()
            .fold(format!("AWS4{secret}").into_bytes(), |key, part| mac(&key, part));
        hex::encode(key).as_bytes().ct_eq(self.signature.as_bytes()).into()
    }
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length will do");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

/// Describes an object as `s3s` would; `None` if that takes more than writing down what there is.
fn describe(object: &Object, into: &mut HeaderMap) -> Option<()> {
    headers::describe(object, into);
    into.entry(header::CONTENT_TYPE).or_insert(HeaderValue::from_static(DEFAULT_CONTENT_TYPE));
    into.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    into.insert(header::CONTENT_LENGTH, object.size.into());
    let class = HeaderValue::from_static(describe::class(object.storage_class));
    into.insert(HeaderName::from_static("x-amz-storage-class"), class);
    for (name, value) in object.custom.pairs() {
        let is_plain = value.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
        let value = HeaderValue::from_str(value).ok().filter(|_| is_plain)?;
        into.insert(HeaderName::from_bytes(format!("x-amz-meta-{name}").as_bytes()).ok()?, value);
    }
    Some(())
}

/// A header that is there once, as text.
fn unique(headers: &HeaderMap, name: impl AsHeaderName) -> Option<&str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

/// Whether a text is escaped just as signatures escape it (AWS: SigV4, `UriEncode`); `kept` is not escaped.
fn is_escaped(text: &str, kept: &[u8]) -> bool {
    let is_kept = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || kept.contains(&byte);
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let digit = |byte: u8| b"0123456789ABCDEF".iter().position(|digit| *digit == byte);
            let (high, low) = (bytes.next().and_then(digit), bytes.next().and_then(digit));
            let escaped = high.zip(low).and_then(|(high, low)| u8::try_from(high * 16 + low).ok());
            if escaped.is_none_or(is_kept) {
                return false;
            }
        } else if !is_kept(byte) {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use axum::http::request::Builder;
    use time::macros::datetime;

    use super::*;
    use crate::s3::AccessKey;

    /// The key of AWS's examples.
    struct Example {
        can_read: bool,
    }

    impl AccessKeys for Example {
        fn find(&self, id: &str) -> Option<AccessKey> {
            let secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".to_owned();
            let Self { can_read } = *self;
            (id == "AKIAIOSFODNN7EXAMPLE").then_some(AccessKey { secret, can_read, can_write: true })
        }
    }

    /// AWS: SigV4, "Authenticating requests: using query parameters", its example.
    const PRESIGNED: &str = "/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404";

    fn presigned(uri: &str) -> Builder {
        Request::get(uri).header("host", "examplebucket.s3.amazonaws.com")
    }

    fn read(request: Builder, can_read: bool, now: OffsetDateTime) -> Option<(String, String)> {
        let (request, hosts) = (request.body(Body::empty()).unwrap(), Hosts::new("amazonaws.com"));
        let Plain { bucket, key } = Plain::of(&request, &hosts, &Example { can_read }, now)?;
        Some((bucket.as_str().to_owned(), key.as_str().to_owned()))
    }

    #[test]
    fn the_example_of_aws_is_plain_for_as_long_as_it_says() {
        let signed = datetime!(2013-05-24 00:00:00 UTC);
        let found = || Some(("examplebucket".to_owned(), "test.txt".to_owned()));
        let holds = [(-901, false), (-900, true), (0, true), (86_400, true), (86_401, false)];
        for (seconds, holds) in holds {
            let now = signed + Duration::seconds(seconds);
            assert_eq!(read(presigned(PRESIGNED), true, now), holds.then(found).flatten(), "{seconds}");
        }
        assert_eq!(read(presigned(PRESIGNED), false, signed), None);
        for header in ["range", "if-match", "x-amz-meta-a", "authorization", "x-amz-content-sha256", "host"] {
            assert_eq!(read(presigned(PRESIGNED).header(header, "a"), true, signed), None, "{header}");
        }
        // Each byte of the address counts.
        for at in 0..PRESIGNED.len() {
            let mut changed = PRESIGNED.as_bytes().to_vec();
            changed[at] ^= 1;
            let Ok(uri) = String::from_utf8(changed) else { continue };
            let request = presigned(&uri);
            if request.uri_ref().is_some() {
                assert_eq!(read(request, true, signed), None, "{uri}");
            }
        }
    }
}
