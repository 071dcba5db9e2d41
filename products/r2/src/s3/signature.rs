//! What requests say of their signatures (AWS: SigV4, authenticating requests). `s3s` verifies them; here is what it lets pass
//! and R2 does not, and the verification of those that are plain.

use std::borrow::Cow;

use axum::{
    extract::Request,
    http::{
        HeaderMap, HeaderName, HeaderValue,
        header::{self, AsHeaderName},
    },
};
use form_urlencoded::parse;
use hmac::{Hmac, KeyInit as _, Mac as _};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};
use s3s::{S3Error, S3Result, s3_error};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use time::{
    Duration, OffsetDateTime, PrimitiveDateTime, format_description::BorrowedFormatItem,
    macros::format_description,
};

use super::buckets::CREATE_IF_MISSING;

/// How far a client's clock may be off (AWS: SigV4, `RequestTimeTooSkewed`).
pub(super) const CLOCK_SKEW_S_MAX: u32 = 15 * 60;

/// The longest that a presigned address may be good for (AWS: SigV4 query parameters, `X-Amz-Expires`).
const PRESIGNED_S_MAX: u64 = 7 * 24 * 60 * 60;

/// The only algorithm there is.
const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// Headers of S3's own that a signature need not cover: they can only make it hold for less.
const NARROWING_HEADERS: [&str; 2] = ["x-amz-content-sha256", "x-amz-date"];

/// Refuses what `s3s` would let pass: signatures of version 2, presigned addresses without limit, and headers of S3's own that
/// are not signed (AWS: SigV4, signed headers). Who holds an address to write to could otherwise add `x-amz-copy-source`, and
/// have copied there whatever its maker may read.
pub(super) fn refuse(request: &Request) -> S3Result<()> {
    let headers = request.headers();
    let (mut is_presigned, mut in_query, mut expires_s, mut is_version_2) = (false, None, None, false);
    for (name, value) in parse(request.uri().query().unwrap_or_default().as_bytes()) {
        match &*name {
            "X-Amz-Signature" => is_presigned = true,
            "X-Amz-SignedHeaders" => in_query = Some(value),
            "X-Amz-Expires" if expires_s.is_none() => expires_s = value.parse::<u64>().ok(),
            "AWSAccessKeyId" => is_version_2 = true,
            _ => {}
        }
    }
    let in_headers: Vec<_> = headers.get_all(header::AUTHORIZATION).iter().collect();
    if is_version_2 || in_headers.iter().any(|value| value.as_bytes().starts_with(b"AWS ")) {
        return Err(s3_error!(
            InvalidRequest,
            "Please use AWS4-HMAC-SHA256: signature version 2 is not supported."
        ));
    }
    if expires_s.is_some_and(|seconds| PRESIGNED_S_MAX < seconds) {
        return Err(s3_error!(
            AuthorizationQueryParametersError,
            "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less than 604800 seconds"
        ));
    }
    // A signature in the query is the one that is verified.
    let names = match in_headers[..] {
        _ if is_presigned => in_query.unwrap_or_default(),
        // Nobody says who asks, and nobody may.
        [] => return Ok(()),
        [value] => {
            value.to_str().ok().and_then(Authorization::parse).ok_or_else(malformed)?.signed_headers.into()
        }
        _ => return Err(malformed()),
    };
    refuse_unsigned(&names, headers)
}

fn malformed() -> S3Error {
    s3_error!(AuthorizationHeaderMalformed, "The authorization header that you provided is not valid.")
}

fn refuse_unsigned(names: &str, headers: &HeaderMap) -> S3Result<()> {
    let mut signed: Vec<_> = names.split(';').collect();
    signed.sort_unstable();
    // A header that is named often would be copied as often.
    if !signed.is_sorted_by(|one, next| one < next) {
        return Err(s3_error!(InvalidRequest, "A header must be named once among those that are signed"));
    }
    let is_own = |name: &str| name.starts_with("x-amz-") || name == CREATE_IF_MISSING;
    let is_covered = |name: &str, value: &HeaderValue| {
        // What is not text is left out of what is verified.
        signed.binary_search(&name).is_ok() && str::from_utf8(value.as_bytes()).is_ok()
    };
    let is_right = |(name, value): (&HeaderName, &HeaderValue)| {
        let name = name.as_str();
        !is_own(name) || NARROWING_HEADERS.contains(&name) || is_covered(name, value)
    };
    if headers.iter().all(is_right) {
        return Ok(());
    }
    Err(s3_error!(AccessDenied, "There were headers present in the request which were not signed"))
}

/// The parts of the header `Authorization`.
struct Authorization<'a> {
    credential: &'a str,
    signed_headers: &'a str,
    signature: &'a str,
}

impl<'a> Authorization<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let rest = text.strip_prefix(ALGORITHM)?.strip_prefix(char::is_whitespace)?.trim_start();
        let (credential, rest) = rest.strip_prefix("Credential=")?.split_once(',')?;
        let (signed_headers, rest) = rest.trim_start().strip_prefix("SignedHeaders=")?.split_once(',')?;
        let signature = rest.trim_start().strip_prefix("Signature=")?;
        Some(Self { credential, signed_headers, signature })
    }
}

/// Stands for the hash of a body that is not hashed ahead.
pub(super) const UNSIGNED: &str = "UNSIGNED-PAYLOAD";

/// The SHA-256 of nothing.
const HASH_OF_NOTHING: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// Parameters that say how a request is signed, beside the signature itself.
const SIGNING_PARAMETERS: [&str; 5] =
    ["X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-SignedHeaders"];

/// The time of a signature.
const MOMENT: &[BorrowedFormatItem<'_>] = format_description!("[year][month][day]T[hour][minute][second]Z");

/// What a signature does not escape (AWS: SigV4, `UriEncode`).
const ESCAPED: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
const ESCAPED_IN_PATH: AsciiSet = ESCAPED.remove(b'/');

/// The claim of a request without a body to be signed by somebody, if it can be read without a doubt.
pub(super) struct Claim<'a> {
    parameters: Parameters<'a>,
    scope: Scope<'a>,
    moment: &'a str,
    /// How long it holds from that moment on; `None` if it is not in the query.
    life: Option<Duration>,
    /// Names with semicolons between them.
    signed_headers: Cow<'a, str>,
    payload: &'a str,
    signature: &'a str,
}

/// Whose key it is made with, and for which day and region.
struct Scope<'a> {
    id: &'a str,
    day: &'a str,
    region: &'a str,
}

impl<'a> Claim<'a> {
    pub(super) fn of(request: &'a Request) -> Option<Self> {
        let (uri, headers) = (request.uri(), request.headers());
        let mut parameters = Parameters::of(uri.query().unwrap_or_default())?;
        if !is_escaped(uri.path(), &ESCAPED_IN_PATH) {
            return None;
        }
        match parameters.take("X-Amz-Signature") {
            Some(signature) => Self::in_query(parameters, headers, signature),
            None => Self::in_headers(parameters, headers),
        }
    }

    fn in_query(parameters: Parameters<'a>, headers: &HeaderMap, signature: &'a str) -> Option<Self> {
        let get = |name| parameters.get(name);
        let life: u64 = get("X-Amz-Expires")?.parse().ok()?;
        if get("X-Amz-Algorithm") != Some(ALGORITHM)
            || PRESIGNED_S_MAX < life
            || headers.contains_key(header::AUTHORIZATION)
            || headers.contains_key("x-amz-content-sha256")
        {
            return None;
        }
        Some(Self {
            scope: Scope::of(get("X-Amz-Credential")?.split("%2F"))?,
            moment: get("X-Amz-Date")?,
            life: Some(Duration::seconds(life.try_into().ok()?)),
            signed_headers: percent_decode_str(get("X-Amz-SignedHeaders")?).decode_utf8().ok()?,
            payload: UNSIGNED,
            signature,
            parameters,
        })
    }

    fn in_headers(parameters: Parameters<'a>, headers: &'a HeaderMap) -> Option<Self> {
        let Authorization { credential, signed_headers, signature } =
            Authorization::parse(unique(headers, header::AUTHORIZATION)?)?;
        let payload = unique(headers, "x-amz-content-sha256")?;
        let is_plain = [UNSIGNED, HASH_OF_NOTHING].contains(&payload);
        is_plain.then_some(Self {
            scope: Scope::of(credential.split('/'))?,
            moment: unique(headers, "x-amz-date")?,
            life: None,
            signed_headers: signed_headers.into(),
            payload,
            signature,
            parameters,
        })
    }

    /// The key that it is made with.
    pub(super) fn key_id(&self) -> &'a str {
        self.scope.id
    }

    /// The query's parameters, without those that say how it is signed.
    pub(super) fn parameters(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        let is_signing = |name| self.life.is_some() && SIGNING_PARAMETERS.contains(&name);
        self.parameters.0.iter().copied().filter(move |(name, _)| !is_signing(*name))
    }

    pub(super) fn covers(&self, name: &HeaderName) -> bool {
        self.signed_headers.split(';').any(|signed| signed == name.as_str())
    }

    /// Whether the request is signed with the secret, and not too long ago.
    pub(super) fn is_right(&self, request: &Request, secret: &str, now: OffsetDateTime) -> bool {
        self.is_fresh(now)
            && self.canonical_request(request).is_some_and(|canonical| {
                let Self { moment, scope: Scope { day, region, .. }, .. } = *self;
                let hash = hex::encode(Sha256::digest(canonical));
                let text = format!("{ALGORITHM}\n{moment}\n{day}/{region}/s3/aws4_request\n{hash}");
                let key = [day, region, "s3", "aws4_request", &text]
                    .into_iter()
                    .fold(format!("AWS4{secret}").into_bytes(), |key, part| mac(&key, part));
                hex::encode(key).as_bytes().ct_eq(self.signature.as_bytes()).into()
            })
    }

    fn is_fresh(&self, now: OffsetDateTime) -> bool {
        let Ok(moment) = PrimitiveDateTime::parse(self.moment, MOMENT) else { return false };
        let (age, skew) = (now - moment.assume_utc(), Duration::seconds(CLOCK_SKEW_S_MAX.into()));
        let is_usual =
            self.moment.len() == "YYYYMMDDThhmmssZ".len() && self.moment.get(..8) == Some(self.scope.day);
        is_usual && -skew <= age && age <= self.life.unwrap_or(skew)
    }

    /// What is signed of a request (AWS: SigV4, canonical request).
    fn canonical_request(&self, request: &Request) -> Option<String> {
        if !self.covers(&header::HOST) {
            return None;
        }
        let mut text = String::with_capacity(1024);
        text.extend([request.method().as_str(), "\n", request.uri().path(), "\n"]);
        for (at, (name, value)) in self.parameters.0.iter().enumerate() {
            text.extend([if at == 0 { "" } else { "&" }, name, "=", value]);
        }
        text.push('\n');
        let mut before = "";
        for name in self.signed_headers.split(';') {
            let value = unique(request.headers(), name)?;
            // The names are in order. Of spaces, a signature counts several as one and those around it not at all.
            let is_usual = before < name && !name.bytes().any(|byte| byte.is_ascii_uppercase());
            if !is_usual || value.trim() != value || value.contains("  ") || value.contains('\t') {
                return None;
            }
            text.extend([name, ":", value, "\n"]);
            before = name;
        }
        text.extend(["\n", &*self.signed_headers, "\n", self.payload]);
        Some(text)
    }
}

impl<'a> Scope<'a> {
    fn of(mut parts: impl Iterator<Item = &'a str>) -> Option<Self> {
        let (id, day, region) = (parts.next()?, parts.next()?, parts.next()?);
        let is_usual = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        (parts.eq(["s3", "aws4_request"]) && region.bytes().all(is_usual)).then_some(Self { id, day, region })
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
        let are_escaped =
            pairs.iter().all(|(name, value)| is_escaped(name, &ESCAPED) && is_escaped(value, &ESCAPED));
        (are_unique && are_escaped).then_some(Self(pairs))
    }

    fn get(&self, name: &str) -> Option<&'a str> {
        self.0.iter().find_map(|(found, value)| (*found == name).then_some(*value))
    }

    fn take(&mut self, name: &str) -> Option<&'a str> {
        let at = self.0.iter().position(|(found, _)| *found == name)?;
        Some(self.0.remove(at).1)
    }
}

/// A header that is there once, as text.
pub(super) fn unique(headers: &HeaderMap, name: impl AsHeaderName) -> Option<&str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

/// Whether a text is escaped just as it would be here.
fn is_escaped(text: &str, set: &'static AsciiSet) -> bool {
    let plain = Cow::from(percent_decode_str(text));
    percent_encode(&plain, set).flat_map(str::bytes).eq(text.bytes())
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length will do");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, http::request::Builder};
    use time::macros::datetime;

    use super::*;

    /// AWS: SigV4, "Authenticating requests: using query parameters", its example.
    const PRESIGNED: &str = "/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404";

    /// AWS: SigV4, "Authenticating requests: using the Authorization header", its example of a get.
    const AUTHORIZATION: &str = "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41";

    const SIGNED: OffsetDateTime = datetime!(2013-05-24 00:00:00 UTC);

    fn get(uri: &str) -> Builder {
        Request::get(uri).header("host", "examplebucket.s3.amazonaws.com")
    }

    fn is_right(request: Builder, now: OffsetDateTime) -> bool {
        let request = request.body(Body::empty()).unwrap();
        Claim::of(&request).is_some_and(|claim| {
            claim.key_id() == "AKIAIOSFODNN7EXAMPLE"
                && claim.is_right(&request, "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", now)
        })
    }

    #[test]
    fn the_examples_of_aws_are_right_for_as_long_as_they_say() {
        let in_headers = || {
            let request =
                get("/test.txt").header("range", "bytes=0-9").header("authorization", AUTHORIZATION);
            request.header("x-amz-date", "20130524T000000Z").header("x-amz-content-sha256", HASH_OF_NOTHING)
        };
        for (seconds, in_query_too, in_headers_too) in [
            (-901, false, false),
            (-900, true, true),
            (0, true, true),
            (900, true, true),
            (901, true, false),
            (86_400, true, false),
            (86_401, false, false),
        ] {
            let now = SIGNED + Duration::seconds(seconds);
            assert_eq!(is_right(get(PRESIGNED), now), in_query_too, "{seconds}");
            assert_eq!(is_right(in_headers(), now), in_headers_too, "{seconds}");
        }
        for header in ["authorization", "x-amz-content-sha256", "host"] {
            assert!(!is_right(get(PRESIGNED).header(header, "a"), SIGNED), "{header}");
            assert!(!is_right(in_headers().header(header, "a"), SIGNED), "{header}");
        }
    }

    #[test]
    fn an_authorization_has_its_parts_in_order() {
        let names = |text| Authorization::parse(text).map(|parts| parts.signed_headers);
        for right in [
            "AWS4-HMAC-SHA256 Credential=a/b,SignedHeaders=c;d,Signature=e",
            "AWS4-HMAC-SHA256  Credential=a/b,\tSignedHeaders=c;d,   Signature=e",
        ] {
            assert_eq!(names(right), Some("c;d"), "{right}");
        }
        for wrong in [
            "AWS4-HMAC-SHA256Credential=a/b,SignedHeaders=c;d,Signature=e",
            "AWS4-HMAC-SHA1 Credential=a/b,SignedHeaders=c;d,Signature=e",
            "SignedHeaders=x, Credential=a/b,SignedHeaders=c;d,Signature=e",
            "AWS4-HMAC-SHA256 SignedHeaders=c;d,Credential=a/b,Signature=e",
            "AWS4-HMAC-SHA256 Credential=a/b,SignedHeaders=c;d",
        ] {
            assert_eq!(names(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn each_byte_of_an_address_counts() {
        for at in 0..PRESIGNED.len() {
            for bit in 0..7 {
                let mut changed = PRESIGNED.as_bytes().to_vec();
                changed[at] ^= 1 << bit;
                let request = get(str::from_utf8(&changed).unwrap());
                if request.uri_ref().is_some() {
                    assert!(!is_right(request, SIGNED), "{at} {bit}");
                }
            }
        }
    }
}
