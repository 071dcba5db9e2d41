//! Lists: objects, uploads, parts.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use s3s::{S3Result, dto::*, s3_error};

use super::{
    describe::{self, etag, moment},
    request,
};
use crate::{
    model::{After, Key, LIST_MAX, ListQuery, Listed, Page},
    store::{Store, UploadId, UploadPlace},
};

/// What `encoding-type=url` leaves as it is (AWS: as `application/x-www-form-urlencoded`, but for slashes).
const PLAIN: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'*').remove(b'/').remove(b'~');

pub(super) async fn objects_v2(store: &Store, input: ListObjectsV2Input) -> S3Result<ListObjectsV2Output> {
    let encoding = Encoding::of(input.encoding_type.as_ref());
    let mut query = query(input.prefix.as_deref(), input.delimiter.as_deref());
    query.after.extend(input.start_after.clone().map(After::Key));
    query.after.extend(input.continuation_token.as_deref().map(After::open).transpose()?);
    let max_keys = limit(input.max_keys)?;
    let Page { entries, is_truncated } = page(store, &input.bucket, query, max_keys).await?;
    let next = entries.last().filter(|_| is_truncated).map(|entry| entry.place().seal());
    let key_count = i32::try_from(entries.len()).ok();
    let (contents, common_prefixes) = told(entries, encoding);
    Ok(ListObjectsV2Output {
        name: Some(input.bucket),
        prefix: Some(encoding.apply(input.prefix.unwrap_or_default())),
        delimiter: input.delimiter.map(|delimiter| encoding.apply(delimiter)),
        start_after: input.start_after.map(|key| encoding.apply(key)),
        encoding_type: input.encoding_type,
        max_keys: Some(max_keys),
        key_count,
        is_truncated: Some(is_truncated),
        continuation_token: input.continuation_token,
        next_continuation_token: next,
        contents,
        common_prefixes,
        ..ListObjectsV2Output::default()
    })
}

pub(super) async fn objects(store: &Store, input: ListObjectsInput) -> S3Result<ListObjectsOutput> {
    let encoding = Encoding::of(input.encoding_type.as_ref());
    let mut query = query(input.prefix.as_deref(), input.delimiter.as_deref());
    query.after.extend(input.marker.clone().map(|marker| match query.fold(&marker) {
        // A page that ended with a common prefix goes on behind all of it.
        Some(prefix) if prefix == marker => After::Prefix(marker),
        _ => After::Key(marker),
    }));
    let max_keys = limit(input.max_keys)?;
    let Page { entries, is_truncated } = page(store, &input.bucket, query, max_keys).await?;
    let next = entries.last().filter(|_| is_truncated).map(|entry| match entry {
        Listed::Object(object) => object.key.clone(),
        Listed::Prefix(prefix) => prefix.clone(),
    });
    let (contents, common_prefixes) = told(entries, encoding);
    Ok(ListObjectsOutput {
        name: Some(input.bucket),
        prefix: Some(encoding.apply(input.prefix.unwrap_or_default())),
        marker: Some(encoding.apply(input.marker.unwrap_or_default())),
        delimiter: input.delimiter.map(|delimiter| encoding.apply(delimiter)),
        encoding_type: input.encoding_type,
        max_keys: Some(max_keys),
        is_truncated: Some(is_truncated),
        next_marker: next.map(|marker| encoding.apply(marker)),
        contents,
        common_prefixes,
        ..ListObjectsOutput::default()
    })
}

pub(super) async fn uploads(
    store: &Store,
    input: ListMultipartUploadsInput,
) -> S3Result<ListMultipartUploadsOutput> {
    let encoding = Encoding::of(input.encoding_type.as_ref());
    let query = query(input.prefix.as_deref(), input.delimiter.as_deref());
    let max_uploads = limit(input.max_uploads)?;
    let query = query.with_limit(max_uploads.max(1).into())?;
    let place = input.key_marker.clone().map(|key| UploadPlace { key, id: input.upload_id_marker.clone() });
    let page = store.upload_list(&request::bucket(&input.bucket)?, query, place).await?;
    let (next_key, next_id) = page.next.map(|next| (next.key, next.id)).unzip();
    let told = |upload: crate::model::Upload| MultipartUpload {
        key: Some(encoding.apply(upload.key)),
        upload_id: Some(upload.id),
        initiated: moment(upload.started_ms),
        storage_class: Some(StorageClass::from_static(describe::class(upload.storage_class))),
        ..MultipartUpload::default()
    };
    Ok(ListMultipartUploadsOutput {
        bucket: Some(input.bucket),
        prefix: Some(encoding.apply(input.prefix.unwrap_or_default())),
        delimiter: input.delimiter.map(|delimiter| encoding.apply(delimiter)),
        key_marker: Some(encoding.apply(input.key_marker.unwrap_or_default())),
        upload_id_marker: input.upload_id_marker,
        encoding_type: input.encoding_type,
        max_uploads: Some(max_uploads),
        is_truncated: Some(next_key.is_some()),
        next_key_marker: next_key.map(|key| encoding.apply(key)),
        next_upload_id_marker: next_id.flatten(),
        uploads: Some(page.uploads.into_iter().map(told).collect()),
        common_prefixes: common(page.prefixes, encoding),
        ..ListMultipartUploadsOutput::default()
    })
}

pub(super) async fn parts(store: &Store, input: ListPartsInput) -> S3Result<ListPartsOutput> {
    let upload = UploadId { key: Key::parse(input.key.clone())?, id: input.upload_id.clone() };
    let max_parts = limit(input.max_parts)?.max(1);
    let count = usize::try_from(max_parts).unwrap_or(LIST_MAX);
    let after = u32::try_from(input.part_number_marker.unwrap_or(0)).unwrap_or(0);
    let (described, mut parts) =
        store.part_list(&request::bucket(&input.bucket)?, upload, after, count + 1).await?;
    let is_truncated = count < parts.len();
    parts.truncate(count);
    let number = |part: &crate::model::Part| i32::try_from(part.number).ok();
    let next = parts.last().filter(|_| is_truncated).and_then(number);
    let told = |part: crate::model::Part| Part {
        part_number: number(&part),
        e_tag: Some(etag(&part.etag)),
        size: i64::try_from(part.size).ok(),
        last_modified: moment(part.uploaded_ms),
        ..Part::default()
    };
    Ok(ListPartsOutput {
        bucket: Some(input.bucket),
        key: Some(input.key),
        upload_id: Some(input.upload_id),
        max_parts: Some(max_parts),
        part_number_marker: Some(input.part_number_marker.unwrap_or(0)),
        next_part_number_marker: next,
        is_truncated: Some(is_truncated),
        storage_class: Some(StorageClass::from_static(describe::class(described.storage_class))),
        parts: Some(parts.into_iter().map(told).collect()),
        ..ListPartsOutput::default()
    })
}

fn query(prefix: Option<&str>, delimiter: Option<&str>) -> ListQuery {
    ListQuery::new(prefix.unwrap_or_default()).with_delimiter(delimiter.map(str::to_owned))
}

/// How many entries are asked for: as many as there may be, if it is more.
fn limit(asked: Option<i32>) -> S3Result<i32> {
    let most = i32::try_from(LIST_MAX).unwrap_or(i32::MAX);
    match asked.unwrap_or(most) {
        asked if asked < 0 => {
            Err(s3_error!(InvalidArgument, "Argument max-keys must be an integer between 0 and 2147483647"))
        }
        asked => Ok(asked.min(most)),
    }
}

/// What is found, which is nothing where nothing is asked for.
async fn page(store: &Store, bucket: &str, query: ListQuery, max_keys: i32) -> S3Result<Page> {
    if max_keys == 0 {
        store.bucket_find(bucket)?;
        return Ok(Page { entries: Vec::new(), is_truncated: false });
    }
    Ok(store.list(&request::bucket(bucket)?, query.with_limit(max_keys.into())?).await?)
}

fn told(entries: Vec<Listed>, encoding: Encoding) -> (Option<Vec<Object>>, Option<Vec<CommonPrefix>>) {
    let (mut contents, mut prefixes) = (Vec::new(), Vec::new());
    for entry in entries {
        match entry {
            Listed::Prefix(prefix) => prefixes.push(prefix),
            Listed::Object(object) => contents.push(Object {
                key: Some(encoding.apply(object.key)),
                e_tag: Some(etag(&object.etag)),
                size: i64::try_from(object.size).ok(),
                last_modified: moment(object.uploaded_ms),
                storage_class: Some(ObjectStorageClass::from_static(describe::class(object.storage_class))),
                ..Object::default()
            }),
        }
    }
    ((!contents.is_empty()).then_some(contents), common(prefixes, encoding))
}

fn common(prefixes: Vec<String>, encoding: Encoding) -> Option<Vec<CommonPrefix>> {
    let told = |prefix| CommonPrefix { prefix: Some(encoding.apply(prefix)) };
    (!prefixes.is_empty()).then(|| prefixes.into_iter().map(told).collect())
}

/// How names stand in the answer: XML has no way to write some of them.
#[derive(Clone, Copy)]
enum Encoding {
    Plain,
    Url,
}

impl Encoding {
    fn of(asked: Option<&EncodingType>) -> Self {
        if asked.is_some_and(|kind| kind.as_str() == EncodingType::URL) { Self::Url } else { Self::Plain }
    }

    fn apply(self, text: String) -> String {
        match self {
            Self::Plain => text,
            Self::Url => utf8_percent_encode(&text, PLAIN).to_string(),
        }
    }
}
