//! What requests say, in R2's words: hosts, names, conditions, customers' keys; and what no request may say.

use std::{borrow::Cow, net::IpAddr};

use axum::{
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, Method, header},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use form_urlencoded::parse;
use model::BucketName;
use s3s::{
    S3Error, S3ErrorCode, S3Result,
    dto::{CopySource, ETag, ETagCondition, Timestamp, TimestampFormat},
    host::{S3Host, VirtualHost},
    s3_error,
    validation::NameValidation,
};
use time::OffsetDateTime;

use crate::{
    R2Error,
    model::{Conditions, CustomerKey, Etag, EtagMatch, Key},
};

pub(super) use crate::model::bucket_name as bucket;

/// Headers of S3 that R2 refuses (Cloudflare: S3 API compatibility).
const REFUSED_HEADERS: [&str; 7] = [
    "x-amz-tagging",
    "x-amz-website-redirect-location",
    "x-amz-object-lock-mode",
    "x-amz-object-lock-retain-until-date",
    "x-amz-object-lock-legal-hold",
    "x-amz-server-side-encryption-aws-kms-key-id",
    "x-amz-write-offset-bytes",
];

/// Refuses forms, which R2 does not have and `s3s` would read into memory whole; and XML that is too large, of which it would
/// say that the server failed.
pub(super) fn refuse_what_r2_lacks(request: &Request) -> S3Result<()> {
    let header = |name| request.headers().get(name).map_or(&b""[..], HeaderValue::as_bytes);
    let form = b"multipart/form-data";
    let kind = header(header::CONTENT_TYPE).trim_ascii_start();
    let is_post = request.method() == Method::POST;
    if is_post && kind.get(..form.len()).is_some_and(|kind| kind.eq_ignore_ascii_case(form)) {
        return Err(s3_error!(NotImplemented, "PostObject is not implemented"));
    }
    let mut parameters = parse(request.uri().query().unwrap_or_default().as_bytes());
    let is_xml = is_post || parameters.any(|(name, _)| name == "cors" || name == "lifecycle");
    let length = str::from_utf8(header(header::CONTENT_LENGTH)).ok().and_then(|text| text.parse().ok());
    if is_xml && length.is_some_and(|length: u64| super::XML_BYTES_MAX as u64 <= length) {
        return Err(s3_error!(MaxMessageLengthExceeded, "Your request was too big."));
    }
    Ok(())
}

/// Refuses what would silently mean nothing.
pub(super) fn refuse_headers(headers: &HeaderMap) -> S3Result<()> {
    for name in REFUSED_HEADERS {
        if let Some(value) = headers.get(name) {
            let value = String::from_utf8_lossy(value.as_bytes());
            return Err(s3_error!(NotImplemented, "Header '{name}' with value '{value}' not implemented"));
        }
    }
    Ok(())
}

/// Makes headers of the parameters of a presigned address that stand for some: SDKs put there what a writer says of an object,
/// so that whoever writes need not say it (AWS: SigV4, `hoisting`). Not of checksums: theirs are of a body that they did not have.
pub(super) fn headers_of_address(request: &mut Request) -> S3Result<()> {
    let query = request.uri().query().unwrap_or_default().to_owned();
    if !parse(query.as_bytes()).any(|(name, _)| name == "X-Amz-Signature") {
        return Ok(());
    }
    let is_meant = |name: &str| {
        name.starts_with("x-amz-")
            && !name.starts_with("x-amz-checksum-")
            && name != "x-amz-sdk-checksum-algorithm"
    };
    for (name, value) in parse(query.as_bytes()).filter(|(name, _)| is_meant(name)) {
        let header = HeaderName::from_bytes(name.as_bytes()).ok();
        let Some((name, value)) = header.zip(HeaderValue::from_bytes(value.as_bytes()).ok()) else {
            return Err(s3_error!(InvalidArgument, "The parameter '{name}' cannot be a header"));
        };
        request.headers_mut().entry(name).or_insert(value);
    }
    Ok(())
}

/// Which hosts name a bucket.
pub(super) struct Hosts {
    /// Without a leading dot, the longest first.
    domains: [String; 2],
}

impl Hosts {
    pub(super) fn new(base_domain: &str) -> Self {
        Self { domains: [format!("s3.{base_domain}"), base_domain.to_owned()] }
    }
}

impl S3Host for Hosts {
    fn parse_host_header<'a>(&'a self, host: &'a str) -> S3Result<VirtualHost<'a>> {
        let name = host.rsplit_once(':').map_or(host, |(name, _port)| name).trim_end_matches('.');
        let is_address = name.parse::<IpAddr>().is_ok();
        let bucket = self.domains.iter().filter(|_| !is_address).find_map(|domain| {
            let below = name.strip_suffix(domain.as_str())?;
            (below.is_empty() || below.ends_with('.')).then(|| below.trim_end_matches('.'))
        });
        let whole = VirtualHost::new(name);
        Ok(match bucket {
            Some(bucket) if !bucket.is_empty() => whole.with_bucket(bucket),
            _ => whole,
        })
    }
}

/// R2's rules for names are the model's: `s3s` lets all pass.
pub(super) struct Names;

impl NameValidation for Names {
    fn validate_bucket_name(&self, _name: &str) -> bool {
        true
    }
}

/// The bucket that a request is about, before `s3s` has read it.
pub(super) fn bucket_of(request: &Request, hosts: &Hosts) -> Result<BucketName, R2Error> {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let named = hosts.parse_host_header(host).ok().and_then(|host| host.bucket().map(str::to_owned));
    let first = request.uri().path().trim_start_matches('/').split('/').next().unwrap_or_default();
    bucket(named.as_deref().unwrap_or(first))
}

/// What a copy reads from.
pub(super) fn source(source: &CopySource) -> S3Result<(BucketName, Key)> {
    match source {
        CopySource::Bucket { bucket: name, key, version_id: None } => {
            Ok((bucket(name)?, Key::parse(&**key)?))
        }
        CopySource::Bucket { .. } => {
            Err(s3_error!(NotImplemented, "Versions of objects are not implemented"))
        }
        CopySource::AccessPoint { .. } | CopySource::Outpost { .. } => {
            Err(s3_error!(InvalidArgument, "The copy source must be a bucket and a key"))
        }
    }
}

/// Conditions as headers say them: dates without fractions.
pub(super) fn conditions(
    matches: Option<ETagCondition>,
    does_not_match: Option<ETagCondition>,
    unmodified_since: Option<Timestamp>,
    modified_since: Option<Timestamp>,
) -> Conditions {
    let seconds = |moment: Timestamp| OffsetDateTime::from(moment).unix_timestamp();
    let (matches, does_not_match) = (matches.map(etags), does_not_match.map(etags));
    Conditions::of_http(matches, does_not_match, unmodified_since.map(seconds), modified_since.map(seconds))
}

/// The conditions that a copy puts on what it replaces (Cloudflare: R2's extensions to the S3 API).
pub(super) fn conditions_of_target(headers: &HeaderMap) -> Conditions {
    let etag = |name: &str| ETagCondition::parse_http_header(headers.get(name)?.as_bytes()).ok();
    let moment = |name: &str| {
        let text = headers.get(name)?.to_str().ok()?;
        Timestamp::parse(TimestampFormat::HttpDate, text).ok()
    };
    conditions(
        etag("cf-copy-destination-if-match").or_else(|| etag(header::IF_MATCH.as_str())),
        etag("cf-copy-destination-if-none-match").or_else(|| etag(header::IF_NONE_MATCH.as_str())),
        moment("cf-copy-destination-if-unmodified-since"),
        moment("cf-copy-destination-if-modified-since"),
    )
}

fn etags(condition: ETagCondition) -> Vec<Etag> {
    let (value, kind) = match condition {
        ETagCondition::Any => (String::new(), EtagMatch::Wildcard),
        ETagCondition::ETag(ETag::Strong(value)) => (value, EtagMatch::Strong),
        ETagCondition::ETag(ETag::Weak(value)) => (value, EtagMatch::Weak),
    };
    vec![Etag { value, kind }]
}

/// The only cipher that customers' keys are for.
pub(super) const AES256: &str = "AES256";

/// The customer's key that the input of any operation holds.
macro_rules! customer_key {
    ($input:expr) => {
        $crate::s3::request::parse_customer_key(
            $input.sse_customer_algorithm.as_deref(),
            $input.sse_customer_key.as_deref(),
            $input.sse_customer_key_md5.as_deref(),
        )
    };
}
pub(super) use customer_key;

/// What the input of a copy says of its source: conditions, and the customer's key.
macro_rules! source_terms {
    ($input:expr) => {
        (
            $crate::s3::request::conditions(
                $input.copy_source_if_match,
                $input.copy_source_if_none_match,
                $input.copy_source_if_unmodified_since,
                $input.copy_source_if_modified_since,
            ),
            $crate::s3::request::parse_customer_key(
                $input.copy_source_sse_customer_algorithm.as_deref(),
                $input.copy_source_sse_customer_key.as_deref(),
                $input.copy_source_sse_customer_key_md5.as_deref(),
            ),
        )
    };
}
pub(super) use source_terms;

/// A customer's key from its three headers.
pub(super) fn parse_customer_key(
    algorithm: Option<&str>,
    key: Option<&str>,
    md5: Option<&str>,
) -> S3Result<Option<CustomerKey>> {
    let (Some(algorithm), Some(key)) = (algorithm, key) else {
        return match (algorithm, key, md5) {
            (None, None, None) => Ok(None),
            _ => Err(s3_error!(
                InvalidArgument,
                "Requests specifying Server Side Encryption with Customer provided keys must provide an algorithm and a key."
            )),
        };
    };
    if algorithm != AES256 {
        return Err(s3_error!(InvalidEncryptionAlgorithmError, "The encryption algorithm must be AES256."));
    }
    let bytes = BASE64_STANDARD.decode(key).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
    let key = CustomerKey::new(bytes.ok_or(R2Error::CustomerKeyInvalid)?);
    let is_other = |md5: &str| BASE64_STANDARD.decode(md5).ok().is_none_or(|md5| md5 != key.md5());
    if md5.is_some_and(is_other) {
        return Err(s3_error!(
            InvalidArgument,
            "The calculated MD5 hash of the key did not match the hash that was provided."
        ));
    }
    Ok(Some(key))
}

impl From<R2Error> for S3Error {
    fn from(error: R2Error) -> Self {
        let (status, _, message) = error.answer();
        let code = error.s3_code();
        let code = S3ErrorCode::from_bytes(code.as_bytes()).unwrap_or(S3ErrorCode::Custom(code.into()));
        let mut answer = Self::with_message(code, Cow::from(message));
        answer.set_status_code(status);
        answer
    }
}
