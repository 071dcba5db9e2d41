//! Forms as they could arrive, cut anywhere into pieces: a whole one is read as it was written, a damaged one is read or
//! refused as its sender's mistake, and neither ever breaks a limit.

use std::convert::Infallible;

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, HeaderValue, header::CONTENT_TYPE},
};
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use v4::{ApiError, Part, read_multipart};

use crate::LIMITS;

#[derive(Debug, Clone)]
struct Form {
    parts: Vec<(String, Vec<u8>)>,
    /// Bytes of each piece in which it arrives.
    piece: usize,
}

impl Form {
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (name, content) in &self.parts {
            let head = format!("--B\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n");
            bytes.extend([head.as_bytes(), content, b"\r\n"].concat());
        }
        bytes.extend(b"--B--\r\n");
        bytes
    }
}

fn form() -> impl Strategy<Value = Form> {
    // Content that looks like a boundary is what splits parsers; the whole one would end the part.
    let sign = prop_oneof![3 => prop::sample::select(b"\r\n-B".to_vec()), 1 => any::<u8>()];
    let content = prop::collection::vec(sign, 0..80).prop_filter("no boundary", |content| {
        !content.windows(5).any(|window| window == b"\n--B-")
            && !content.windows(4).any(|window| window == b"\n--B")
    });
    (prop::collection::vec(("[a-z]{1,8}", content), 0..4), 1..40_usize)
        .prop_map(|(parts, piece)| Form { parts, piece })
}

fn read(bytes: &[u8], piece: usize) -> Result<Vec<Part>, ApiError> {
    let pieces: Vec<_> =
        bytes.chunks(piece).map(|piece| Ok::<_, Infallible>(Bytes::copy_from_slice(piece))).collect();
    let headers =
        HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("multipart/form-data; boundary=B"))]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let body = Body::from_stream(futures_util::stream::iter(pieces));
    runtime.block_on(read_multipart(&headers, body, LIMITS))
}

fn run<S: Strategy>(strategy: &S, check: impl Fn(S::Value) -> Result<(), TestCaseError>) {
    let mut runner = TestRunner::new(Config { cases: 500, failure_persistence: None, ..Config::default() });
    runner.run(strategy, check).expect("every form is answered");
}

#[test]
fn a_form_is_read_as_it_was_written_however_it_arrives() {
    run(&form(), |form| {
        let read = read(&form.bytes(), form.piece);
        if LIMITS.parts_max < form.parts.len() {
            prop_assert_eq!(read.expect_err("too many parts").status, 413);
            return Ok(());
        }
        let read: Vec<_> = read
            .map_err(|error| TestCaseError::fail(error.message))?
            .into_iter()
            .map(|part| (part.name, part.bytes.to_vec()))
            .collect();
        prop_assert_eq!(read, form.parts);
        Ok(())
    });
}

#[test]
fn a_damaged_form_is_never_our_failure() {
    let damage = (any::<prop::sample::Index>(), prop::collection::vec(any::<u8>(), 0..6), 0..6_usize);
    run(&(form(), prop::collection::vec(damage, 1..4)), |(form, damages)| {
        let mut bytes = form.bytes();
        for (at, new, removed) in damages {
            let start = at.index(bytes.len() + 1);
            let end = (start + removed).min(bytes.len());
            drop(bytes.splice(start..end, new));
        }
        match read(&bytes, form.piece) {
            Ok(parts) => prop_assert!(parts.len() <= LIMITS.parts_max),
            Err(error) => prop_assert!(error.status.is_client_error(), "{error:?}"),
        }
        Ok(())
    });
}
