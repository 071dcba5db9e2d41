//! Objects: head, get, put, copy, delete.

use s3s::{Body, S3Response, S3Result, dto::*, s3_error};

use super::{
    Answer, Given,
    describe::{
        self, base64, custom, etag, http_metadata, metadata, missing_metadata, moment, parse_class, sendable,
    },
    payload::{self, Announced, promised, received},
    request::{self, AES256, customer_key, source_terms},
};
use crate::{
    R2Error,
    headers::DEFAULT_CONTENT_TYPE,
    model::{
        Attributes, Conditions, CustomerKey, DELETE_KEYS_MAX, Key, Object as OurObject, Range as OurRange,
        Span,
    },
    store::{CopyFrom, CopyTo, Found, Get, Put, Store},
};

/// What head and get say alike of an object.
macro_rules! described {
    ($output:ident, $object:expr) => {{
        let object: &OurObject = $object;
        let http = &object.http;
        $output {
            accept_ranges: Some("bytes".to_owned()),
            cache_control: sendable(&http.cache_control),
            content_disposition: sendable(&http.content_disposition),
            content_encoding: sendable(&http.content_encoding),
            content_language: sendable(&http.content_language),
            content_type: sendable(&http.content_type).or_else(|| Some(DEFAULT_CONTENT_TYPE.to_owned())),
            e_tag: Some(etag(&object.etag)),
            expires: http.cache_expiry.and_then(moment),
            last_modified: moment(object.uploaded_ms),
            metadata: metadata(object),
            missing_meta: missing_metadata(object),
            sse_customer_algorithm: object.ssec_key_md5.map(|_| AES256.to_owned()),
            sse_customer_key_md5: object.ssec_key_md5.map(base64),
            storage_class: Some(StorageClass::from_static(describe::class(object.storage_class))),
            version_id: None,
            ..$output::default()
        }
    }};
}

pub(super) fn head(store: &Store, input: HeadObjectInput) -> Answer<HeadObjectOutput> {
    refuse_versions(input.version_id.as_ref(), input.part_number)?;
    let key = customer_key!(input)?;
    let object = store.head(&request::bucket(&input.bucket)?, &Key::parse(input.key)?)?;
    if object.ssec_key_md5 != key.as_ref().map(CustomerKey::md5) {
        let is_plain = object.ssec_key_md5.is_none();
        return Err(if is_plain { R2Error::CustomerKeyUseless } else { R2Error::CustomerKeyWrong }.into());
    }
    let conditions = request::conditions(
        input.if_match,
        input.if_none_match,
        input.if_unmodified_since,
        input.if_modified_since,
    );
    if !conditions.hold(Some(&object)) {
        return Err(unmet(&conditions, &object));
    }
    let mut output = described!(HeadObjectOutput, &object);
    let span = match input.range {
        None => Span::whole(object.size),
        Some(given) => range(given).resolve(object.size)?,
    };
    output.content_length = i64::try_from(span.length()).ok();
    let mut response = S3Response::new(output);
    if input.range.is_some() {
        response.output.content_range = Some(span.content_range(object.size));
        response.status = Some(axum::http::StatusCode::PARTIAL_CONTENT);
    }
    Ok(response)
}

pub(super) async fn get(store: &Store, input: GetObjectInput) -> Answer<GetObjectOutput> {
    refuse_versions(input.version_id.as_ref(), input.part_number)?;
    let customer_key = customer_key!(input)?;
    let conditions = request::conditions(
        input.if_match,
        input.if_none_match,
        input.if_unmodified_since,
        input.if_modified_since,
    );
    let get = Get { conditions: conditions.clone(), range: input.range.map(range), customer_key };
    let found = store.get(&request::bucket(&input.bucket)?, &Key::parse(input.key)?, get)?;
    let Found { object, body: Some((body, span)) } = found else {
        return Err(unmet(&conditions, &found.object));
    };
    let mut output = described!(GetObjectOutput, &object);
    output.content_length = i64::try_from(body.length()).ok();
    output.content_range = input.range.map(|_| span.content_range(object.size));
    output.body = Some(StreamingBlob::from(Body::http_body_unsync(body.into_body().await?)));
    Ok(S3Response::new(output))
}

pub(super) async fn put(store: &Store, given: Given<PutObjectInput>) -> S3Result<PutObjectOutput> {
    let Given { input, headers, trailing_headers: trailing, .. } = given;
    let bucket = request::bucket(&input.bucket)?;
    let key = Key::parse(input.key)?;
    let customer_key = customer_key!(input)?;
    let class = parse_class(input.storage_class.as_ref())?;
    let attributes = Attributes::new(http_metadata!(input), custom(input.metadata)?, class)?;
    let conditions = request::conditions(input.if_match, input.if_none_match, None, None);
    let announced =
        Announced::new(&headers, trailing, input.content_length, input.content_md5, promised!(input));
    let (body, checksum) = payload::receive(store, &bucket, input.body, announced, customer_key).await?;
    let object = store.put(&bucket, Put { key, attributes, conditions, body }).await?;
    Ok(received!(PutObjectOutput, &object.etag, checksum, object.ssec_key_md5))
}

pub(super) async fn copy(
    store: &Store,
    input: CopyObjectInput,
    conditions: Conditions,
) -> S3Result<CopyObjectOutput> {
    let (bucket, key) = request::source(&input.copy_source)?;
    let (source_conditions, source_key) = source_terms!(input);
    let from = CopyFrom { bucket, key, conditions: source_conditions, customer_key: source_key? };
    let storage_class = parse_class(input.storage_class.as_ref())?;
    let replaces =
        input.metadata_directive.is_some_and(|directive| directive.as_str() == MetadataDirective::REPLACE);
    let attributes = if replaces {
        Some(Attributes::new(http_metadata!(input), custom(input.metadata)?, storage_class)?)
    } else if let Some(class) = storage_class {
        let source = store.head(&from.bucket, &from.key)?;
        Some(Attributes { http: source.http, custom: source.custom, storage_class: Some(class) })
    } else {
        None
    };
    let to = CopyTo {
        bucket: request::bucket(&input.bucket)?,
        key: Key::parse(input.key)?,
        attributes,
        conditions,
        customer_key: customer_key!(input)?,
    };
    let is_itself = from.bucket == to.bucket && from.key == to.key;
    if is_itself && to.attributes.is_none() && to.customer_key.is_none() {
        return Err(s3_error!(
            InvalidRequest,
            "This copy request is illegal because it is trying to copy an object to itself without changing the object's metadata, storage class or encryption attributes."
        ));
    }
    let object = store.copy(from, to).await?;
    let copied = CopyObjectResult {
        e_tag: Some(etag(&object.etag)),
        last_modified: moment(object.uploaded_ms),
        ..CopyObjectResult::default()
    };
    Ok(CopyObjectOutput {
        copy_object_result: Some(copied),
        sse_customer_algorithm: object.ssec_key_md5.map(|_| AES256.to_owned()),
        sse_customer_key_md5: object.ssec_key_md5.map(base64),
        ..CopyObjectOutput::default()
    })
}

pub(super) async fn delete(store: &Store, input: DeleteObjectInput) -> S3Result<DeleteObjectOutput> {
    refuse_versions(input.version_id.as_ref(), None)?;
    store.delete(&request::bucket(&input.bucket)?, vec![Key::parse(input.key)?]).await?;
    Ok(DeleteObjectOutput::default())
}

pub(super) async fn delete_many(store: &Store, input: DeleteObjectsInput) -> S3Result<DeleteObjectsOutput> {
    let bucket = request::bucket(&input.bucket)?;
    let Delete { objects, quiet } = input.delete;
    if DELETE_KEYS_MAX < objects.len() {
        return Err(s3_error!(
            MalformedXML,
            "The XML you provided was not well formed or did not validate against our published schema."
        ));
    }
    let (mut keys, mut errors) = (Vec::new(), Vec::new());
    for object in objects {
        let name = object.key.clone();
        let key =
            refuse_versions(object.version_id.as_ref(), None).and_then(|()| Ok(Key::parse(object.key)?));
        match key {
            Ok(key) => keys.push(key),
            Err(error) => errors.push(Error {
                code: Some(error.code().as_str().to_owned()),
                message: error.message().map(str::to_owned),
                key: Some(name),
                version_id: None,
            }),
        }
    }
    let deleted = keys
        .iter()
        .map(|key| DeletedObject { key: Some(key.as_str().to_owned()), ..DeletedObject::default() });
    let deleted: Vec<_> = deleted.collect();
    store.delete(&bucket, keys).await?;
    Ok(DeleteObjectsOutput {
        deleted: (quiet != Some(true)).then_some(deleted),
        errors: (!errors.is_empty()).then_some(errors),
        request_charged: None,
    })
}

/// A range as the store understands it.
pub(crate) fn range(range: Range) -> OurRange {
    match range {
        Range::Suffix { length } => OurRange::Suffix(length),
        Range::Int { first, last } => OurRange::From {
            offset: Some(first),
            length: last.map(|last| last.saturating_sub(first).saturating_add(1)),
        },
    }
}

fn unmet(conditions: &Conditions, object: &OurObject) -> s3s::S3Error {
    if conditions.mean_not_modified(object) {
        return s3_error!(NotModified, "Not Modified");
    }
    R2Error::PreconditionFailed.into()
}

fn refuse_versions(version: Option<&String>, part: Option<i32>) -> S3Result<()> {
    match (version, part) {
        (None, None) => Ok(()),
        (Some(_), _) => Err(s3_error!(NotImplemented, "Versions of objects are not implemented")),
        (None, Some(_)) => {
            Err(s3_error!(NotImplemented, "Reading an object by part number is not implemented"))
        }
    }
}
