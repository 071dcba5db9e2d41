//! Bodies on their way in: checked against the checksums that headers or trailers promise, and given up when they stall.

use std::{
    io,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::Body,
    http::{HeaderMap, StatusCode},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use futures_util::{StreamExt, stream::try_unfold};
use http_body::{Frame, SizeHint};
use model::BucketName;
use s3s::{
    S3Error, S3ErrorCode, S3Result, TrailingHeaders,
    checksum::ChecksumHasher,
    crypto::{Checksum as _, Crc32, Crc32c, Crc64Nvme, Sha1, Sha256},
    dto::{Checksum, StreamingBlob},
    s3_error,
};
use tokio::time::{Instant, Sleep};

use crate::{
    R2Error,
    model::{CustomerKey, digest},
    store::{Expected, Incoming, NewBody, Store},
};

/// How long a client may send nothing of a body it has begun.
const STALL_TIMEOUT: Duration = Duration::from_secs(60);

const CHECKSUM_PREFIX: &str = "x-amz-checksum-";

/// The same body, as long as it was announced; it breaks off when nothing comes for a while.
pub(super) struct Patient {
    body: Body,
    stalled: Pin<Box<Sleep>>,
}

impl Patient {
    pub(super) fn new(body: Body) -> Self {
        Self { body, stalled: Box::pin(tokio::time::sleep(STALL_TIMEOUT)) }
    }
}

impl http_body::Body for Patient {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            self.stalled.as_mut().reset(Instant::now() + STALL_TIMEOUT);
            return Poll::Ready(frame.map(|frame| frame.map_err(io::Error::other)));
        }
        self.stalled.as_mut().poll(context).map(|()| {
            Some(Err(io::Error::new(io::ErrorKind::TimedOut, "the client sent nothing for too long")))
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The checksums that the input of any operation with a body promises.
macro_rules! promised {
    ($input:expr) => {
        s3s::dto::Checksum {
            checksum_crc32: $input.checksum_crc32,
            checksum_crc32c: $input.checksum_crc32c,
            checksum_crc64nvme: $input.checksum_crc64nvme,
            checksum_sha1: $input.checksum_sha1,
            checksum_sha256: $input.checksum_sha256,
            ..s3s::dto::Checksum::default()
        }
    };
}
pub(super) use promised;

/// The answer to an operation that took in a body: its etag, its checksums, and that it is sealed, if it is.
macro_rules! received {
    ($output:ident, $etag:expr, $checksum:expr, $ssec_key_md5:expr) => {{
        let (checksum, ssec_key_md5): (s3s::dto::Checksum, Option<[u8; 16]>) = ($checksum, $ssec_key_md5);
        $output {
            e_tag: Some($crate::s3::describe::etag($etag)),
            checksum_crc32: checksum.checksum_crc32,
            checksum_crc32c: checksum.checksum_crc32c,
            checksum_crc64nvme: checksum.checksum_crc64nvme,
            checksum_sha1: checksum.checksum_sha1,
            checksum_sha256: checksum.checksum_sha256,
            sse_customer_algorithm: ssec_key_md5.map(|_| $crate::s3::request::AES256.to_owned()),
            sse_customer_key_md5: ssec_key_md5.map($crate::s3::describe::base64),
            ..$output::default()
        }
    }};
}
pub(super) use received;

/// What the head says of a body.
pub(super) struct Announced {
    length: Option<u64>,
    content_md5: Option<String>,
    promised: Checksum,
    trailer: Trailer,
}

impl Announced {
    pub(super) fn new(
        headers: &HeaderMap,
        trailing: Option<TrailingHeaders>,
        content_length: Option<i64>,
        content_md5: Option<String>,
        promised: Checksum,
    ) -> Self {
        // Of a body in chunks, its length without them. Where HTTP says a length, `s3s` has put this in its place already.
        let decoded = || headers.get("x-amz-decoded-content-length")?.to_str().ok()?.parse().ok();
        let length = content_length.or_else(decoded).and_then(|length| u64::try_from(length).ok());
        Self { length, content_md5, promised, trailer: Trailer::new(headers, trailing) }
    }
}

/// Takes in a body, if it is what its head and its trailer say; tells its checksums of the algorithms that they name.
pub(super) async fn receive(
    store: &Store,
    bucket: &BucketName,
    body: Option<StreamingBlob>,
    announced: Announced,
    customer_key: Option<CustomerKey>,
) -> S3Result<(NewBody, Checksum)> {
    let Announced { length, content_md5, promised, trailer } = announced;
    let md5 =
        content_md5.map(|text| digest("Content-MD5", BASE64_STANDARD.decode(text).ok(), 16)).transpose()?;
    let incoming = Incoming { length, expected: Expected { md5, ..Expected::default() }, customer_key };
    let (body, outcome) = checked(body, promised, trailer);
    let received = store.receive(bucket, body, incoming).await;
    outcome.take(received)
}

/// The checksums that come behind the body.
struct Trailer {
    /// Names of the checksums, as the head announced them.
    algorithms: Vec<String>,
    headers: Option<TrailingHeaders>,
}

impl Trailer {
    fn new(headers: &HeaderMap, trailing: Option<TrailingHeaders>) -> Self {
        let announced = headers.get_all("x-amz-trailer").iter().filter_map(|value| value.to_str().ok());
        let names = announced.flat_map(|names| names.split(',')).map(|name| name.trim().to_ascii_lowercase());
        let algorithms =
            names.filter_map(|name| name.strip_prefix(CHECKSUM_PREFIX).map(str::to_owned)).collect();
        Self { algorithms, headers: trailing }
    }

    /// What came, once the body has ended.
    fn checksum(&self) -> Checksum {
        let mut came = Checksum::default();
        let Some(headers) = &self.headers else { return came };
        headers.read(|headers| {
            for algorithm in &self.algorithms {
                let value = headers.get(format!("{CHECKSUM_PREFIX}{algorithm}"));
                if let (Some(field), Some(Ok(value))) =
                    (field(&mut came, algorithm), value.map(|value| value.to_str()))
                {
                    *field = Some(value.to_owned());
                }
            }
        });
        came
    }

    /// Whether a checksum that was announced did not come.
    fn is_missing_from(&self, came: &Checksum) -> bool {
        let mut came = came.clone();
        self.algorithms
            .iter()
            .any(|algorithm| field(&mut came, algorithm).is_some_and(|value| value.is_none()))
    }
}

fn field<'a>(checksum: &'a mut Checksum, algorithm: &str) -> Option<&'a mut Option<String>> {
    match algorithm {
        "crc32" => Some(&mut checksum.checksum_crc32),
        "crc32c" => Some(&mut checksum.checksum_crc32c),
        "crc64nvme" => Some(&mut checksum.checksum_crc64nvme),
        "sha1" => Some(&mut checksum.checksum_sha1),
        "sha256" => Some(&mut checksum.checksum_sha256),
        _ => None,
    }
}

/// What came of a body, once it has ended.
#[derive(Clone, Default)]
struct Outcome(Arc<OnceLock<S3Result<Checksum>>>);

impl Outcome {
    /// The body's checksums, of the algorithms that were promised; or, of a body that `R2Error` tells broke off, why.
    fn take<T>(self, received: Result<T, R2Error>) -> S3Result<(T, Checksum)> {
        let outcome = Arc::into_inner(self.0).and_then(OnceLock::into_inner);
        match (received, outcome) {
            (Ok(received), Some(Ok(checksum))) => Ok((received, checksum)),
            (Ok(received), _) => Ok((received, Checksum::default())),
            (Err(R2Error::BodyIncomplete), Some(Err(error))) => Err(error),
            (Err(error), _) => Err(error.into()),
        }
    }

    fn fail(self, answer: S3Error) -> io::Error {
        let error = io::Error::other(answer.message().unwrap_or("the body broke off").to_owned());
        let _ = self.0.set(Err(answer));
        error
    }
}

/// The body with its checksums held against those in the head (`promised`) and in the trailer.
fn checked(body: Option<StreamingBlob>, promised: Checksum, trailer: Trailer) -> (Body, Outcome) {
    let outcome = Outcome::default();
    let Some(chunks) = body else { return (Body::empty(), outcome) };
    let reading =
        Reading { chunks, hasher: hasher(&promised, &trailer), promised, trailer, outcome: outcome.clone() };
    let body = Body::from_stream(try_unfold(Some(reading), |reading| async move {
        let Some(mut reading) = reading else { return Ok(None) };
        match reading.chunks.next().await {
            Some(Ok(chunk)) => {
                reading.hasher.update(&chunk);
                Ok(Some((chunk, Some(reading))))
            }
            Some(Err(error)) => {
                let answer = broken(&*error);
                Err(reading.outcome.fail(answer))
            }
            None => reading.finish(),
        }
    }));
    (body, outcome)
}

struct Reading {
    chunks: StreamingBlob,
    hasher: ChecksumHasher,
    promised: Checksum,
    trailer: Trailer,
    outcome: Outcome,
}

impl Reading {
    /// Compares. Ends the body with an error if it is not what was promised.
    fn finish<T>(self) -> io::Result<Option<T>> {
        let Self { hasher, promised, trailer, outcome, .. } = self;
        let came = trailer.checksum();
        if trailer.is_missing_from(&came) {
            let said = "The request contained trailing data that was not well-formed or did not conform to our published schema.";
            return Err(outcome.fail(bad_request("MalformedTrailerError", said)));
        }
        let actual = hasher.finalize();
        if [&promised, &came].into_iter().any(|promised| differs(promised, &actual)) {
            let said = "The checksum you specified did not match what we received.";
            return Err(outcome.fail(s3_error!(BadDigest, "{said}")));
        }
        // Nobody else sets it: the stream ends once.
        let _ = outcome.0.set(Ok(actual));
        Ok(None)
    }
}

fn hasher(promised: &Checksum, trailer: &Trailer) -> ChecksumHasher {
    let is_wanted = |field: &Option<String>, name: &str| {
        field.is_some() || trailer.algorithms.iter().any(|algorithm| algorithm == name)
    };
    ChecksumHasher {
        crc32: is_wanted(&promised.checksum_crc32, "crc32").then(Crc32::new),
        crc32c: is_wanted(&promised.checksum_crc32c, "crc32c").then(Crc32c::new),
        crc64nvme: is_wanted(&promised.checksum_crc64nvme, "crc64nvme").then(Crc64Nvme::new),
        sha1: is_wanted(&promised.checksum_sha1, "sha1").then(Sha1::new),
        sha256: is_wanted(&promised.checksum_sha256, "sha256").then(Sha256::new),
    }
}

fn differs(promised: &Checksum, actual: &Checksum) -> bool {
    let differs =
        |promised: &Option<String>, actual: &Option<String>| promised.is_some() && promised != actual;
    differs(&promised.checksum_crc32, &actual.checksum_crc32)
        || differs(&promised.checksum_crc32c, &actual.checksum_crc32c)
        || differs(&promised.checksum_crc64nvme, &actual.checksum_crc64nvme)
        || differs(&promised.checksum_sha1, &actual.checksum_sha1)
        || differs(&promised.checksum_sha256, &actual.checksum_sha256)
}

/// Why a body broke off. The types of these errors are not public in `s3s`; their texts are.
fn broken(error: &(dyn std::error::Error + Send + Sync + 'static)) -> S3Error {
    let text = error.to_string();
    if text.contains("SignatureMismatch") {
        s3_error!(SignatureDoesNotMatch, "The signature of a chunk of the body does not match.")
    } else if text.contains("Sha256Mismatch") {
        let said = "The provided 'x-amz-content-sha256' header does not match what was computed.";
        bad_request("XAmzContentSHA256Mismatch", said)
    } else {
        R2Error::BodyIncomplete.into()
    }
}

/// A refusal that `s3s` has no word for.
fn bad_request(code: &'static str, said: &'static str) -> S3Error {
    let mut error = S3Error::with_message(S3ErrorCode::Custom(code.into()), said);
    error.set_status_code(StatusCode::BAD_REQUEST);
    error
}
