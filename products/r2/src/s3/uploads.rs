//! Multipart uploads.

use s3s::{S3Result, dto::*, s3_error};

use super::{
    Given,
    describe::{base64, custom, etag, http_metadata, moment, parse_class},
    payload::{self, Announced, promised, received},
    request::{self, AES256, customer_key, source_terms},
};
use crate::{
    R2Error,
    model::{Attributes, CustomerKey, Key, NamedPart, PartNumber as OurPartNumber, Range as OurRange},
    store::{Found, Get, Incoming, NewUpload, Store, UploadId},
};

pub(super) async fn create(
    store: &Store,
    input: CreateMultipartUploadInput,
) -> S3Result<CreateMultipartUploadOutput> {
    let key = Key::parse(input.key.clone())?;
    let customer_key = customer_key!(input)?;
    let class = parse_class(input.storage_class.as_ref())?;
    let attributes = Attributes::new(http_metadata!(input), custom(input.metadata)?, class)?;
    let ssec_key_md5 = customer_key.as_ref().map(CustomerKey::md5);
    let new = NewUpload { key, attributes, ssec_key_md5 };
    let id = store.upload_create(&request::bucket(&input.bucket)?, new).await?;
    Ok(CreateMultipartUploadOutput {
        bucket: Some(input.bucket),
        key: Some(input.key),
        upload_id: Some(id),
        sse_customer_algorithm: ssec_key_md5.map(|_| AES256.to_owned()),
        sse_customer_key_md5: ssec_key_md5.map(base64),
        ..CreateMultipartUploadOutput::default()
    })
}

pub(super) async fn part_put(store: &Store, given: Given<UploadPartInput>) -> S3Result<UploadPartOutput> {
    let Given { input, headers, trailing_headers: trailing, .. } = given;
    let bucket = request::bucket(&input.bucket)?;
    let (upload, number) = named(input.key, input.upload_id, input.part_number)?;
    let customer_key = customer_key!(input)?;
    let ssec_key_md5 = customer_key.as_ref().map(CustomerKey::md5);
    let announced =
        Announced::new(&headers, trailing, input.content_length, input.content_md5, promised!(input));
    let (body, checksum) = payload::receive(store, &bucket, input.body, announced, customer_key).await?;
    let part = store.part_put(&bucket, upload, number, body).await?;
    Ok(received!(UploadPartOutput, &part.etag, checksum, ssec_key_md5))
}

/// A part that is read from an object.
pub(super) async fn part_copy(store: &Store, input: UploadPartCopyInput) -> S3Result<UploadPartCopyOutput> {
    let bucket = request::bucket(&input.bucket)?;
    let (upload, number) = named(input.key, input.upload_id, input.part_number)?;
    let (source, key) = request::source(&input.copy_source)?;
    let (conditions, source_key) = source_terms!(input);
    let range = input.copy_source_range.as_deref().map(copy_range).transpose()?;
    let get = Get { conditions, range, customer_key: source_key? };
    let Found { body: Some((body, span)), .. } = store.get(&source, &key, get)? else {
        return Err(R2Error::PreconditionFailed.into());
    };
    let customer_key = customer_key!(input)?;
    let incoming = Incoming { length: Some(span.length()), customer_key, ..Incoming::default() };
    let body = store.receive(&bucket, body.into_body().await?, incoming).await?;
    let part = store.part_put(&bucket, upload, number, body).await?;
    let copied = CopyPartResult {
        e_tag: Some(etag(&part.etag)),
        last_modified: moment(part.uploaded_ms),
        ..CopyPartResult::default()
    };
    Ok(UploadPartCopyOutput { copy_part_result: Some(copied), ..UploadPartCopyOutput::default() })
}

pub(super) async fn complete(
    store: &Store,
    input: CompleteMultipartUploadInput,
) -> S3Result<CompleteMultipartUploadOutput> {
    let parts = input.multipart_upload.and_then(|upload| upload.parts).unwrap_or_default();
    let mut named = Vec::with_capacity(parts.len());
    for part in parts {
        let number = OurPartNumber::parse(part.part_number.unwrap_or(0).into())?;
        let etag = part.e_tag.ok_or_else(|| s3_error!(InvalidPart, "A part was named without its etag."))?;
        if named.last().is_some_and(|before: &NamedPart| number <= before.number) {
            return Err(s3_error!(InvalidPartOrder, "The list of parts was not in ascending order."));
        }
        named.push(NamedPart { number, etag: etag.into_value() });
    }
    let upload = UploadId { key: Key::parse(input.key.clone())?, id: input.upload_id };
    let conditions = request::conditions(input.if_match, input.if_none_match, None, None);
    let object = store.upload_complete(&request::bucket(&input.bucket)?, upload, named, conditions).await?;
    Ok(CompleteMultipartUploadOutput {
        location: Some(format!("/{}/{}", input.bucket, input.key)),
        bucket: Some(input.bucket),
        key: Some(input.key),
        e_tag: Some(etag(&object.etag)),
        ..CompleteMultipartUploadOutput::default()
    })
}

pub(super) async fn abort(
    store: &Store,
    input: AbortMultipartUploadInput,
) -> S3Result<AbortMultipartUploadOutput> {
    let upload = UploadId { key: Key::parse(input.key)?, id: input.upload_id };
    store.upload_abort(&request::bucket(&input.bucket)?, upload).await?;
    Ok(AbortMultipartUploadOutput::default())
}

fn named(key: String, id: String, number: i32) -> Result<(UploadId, OurPartNumber), R2Error> {
    Ok((UploadId { key: Key::parse(key)?, id }, OurPartNumber::parse(number.into())?))
}

/// `bytes=first-last`, both of them (AWS: UploadPartCopy).
fn copy_range(text: &str) -> S3Result<OurRange> {
    let parse = || {
        let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
        let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
        Some(OurRange::From { offset: Some(first), length: Some(last.checked_sub(first)?.checked_add(1)?) })
    };
    let said = "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the zero-based offsets of the first and last bytes to copy.";
    parse().ok_or_else(|| s3_error!(InvalidArgument, "{said}"))
}
