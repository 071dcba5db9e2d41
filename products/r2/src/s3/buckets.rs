//! Buckets themselves.

use axum::http::{HeaderMap, StatusCode};
use s3s::{S3Result, dto::*, s3_error};

use super::{describe::moment, request};
use crate::{
    R2Error,
    domains::{DomainsLater, give_back},
    model::{Bucket as OurBucket, StorageClass as OurClass},
    store::{NewBucket, Store},
};

/// Makes a bucket that is missing, with the first write to it (Cloudflare: R2's extensions to the S3 API).
pub(super) const CREATE_IF_MISSING: &str = "cf-create-bucket-if-missing";

/// Where all buckets are, as S3 clients hear it.
const REGION: &str = "auto";

/// Most buckets of one page (AWS: ListBuckets).
const PAGE_BUCKETS_MAX: i32 = 1000;

pub(super) async fn list(store: &Store, input: ListBucketsInput) -> S3Result<ListBucketsOutput> {
    let limit = usize::try_from(input.max_buckets.unwrap_or(PAGE_BUCKETS_MAX).clamp(1, PAGE_BUCKETS_MAX))
        .unwrap_or(1);
    let prefix = input.prefix.clone().unwrap_or_default();
    let mut after = input.continuation_token.unwrap_or_default();
    let mut buckets: Vec<OurBucket> = Vec::new();
    // The store looks for a part of the name anywhere: what is no prefix is passed over.
    let is_truncated = loop {
        let page = store.bucket_list(None, &prefix, &after, limit + 1).await?;
        let Some(last) = page.last().map(|bucket| bucket.name.to_string()) else { break false };
        let is_last = page.len() <= limit;
        buckets.extend(page.into_iter().filter(|bucket| bucket.name.as_str().starts_with(&prefix)));
        if limit < buckets.len() || is_last {
            break limit < buckets.len();
        }
        after = last;
    };
    buckets.truncate(limit);
    let last = buckets.last().map(|bucket| bucket.name.to_string());
    let told = |bucket: OurBucket| Bucket {
        name: Some(bucket.name.to_string()),
        creation_date: moment(bucket.created_ms),
        bucket_region: None,
    };
    Ok(ListBucketsOutput {
        buckets: Some(buckets.into_iter().map(told).collect()),
        continuation_token: last.filter(|_| is_truncated),
        prefix: input.prefix,
        owner: None,
    })
}

pub(super) fn head(store: &Store, input: &HeadBucketInput) -> S3Result<HeadBucketOutput> {
    store.bucket_find(&input.bucket)?;
    Ok(HeadBucketOutput { bucket_region: Some(REGION.to_owned()), ..HeadBucketOutput::default() })
}

pub(super) async fn create(store: &Store, input: CreateBucketInput) -> S3Result<CreateBucketOutput> {
    make(store, &input.bucket).await?;
    Ok(CreateBucketOutput { location: Some(format!("/{}", input.bucket)) })
}

pub(super) async fn create_if_asked(store: &Store, headers: &HeaderMap, bucket: &str) -> S3Result<()> {
    if headers.get(CREATE_IF_MISSING).is_none_or(|value| value != "true") {
        return Ok(());
    }
    match make(store, bucket).await {
        Ok(()) | Err(R2Error::BucketExists) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

async fn make(store: &Store, bucket: &str) -> Result<(), R2Error> {
    let new = NewBucket {
        name: request::bucket(bucket)?,
        location: None,
        jurisdiction: "default".to_owned(),
        storage_class: OurClass::Standard,
    };
    store.bucket_create(new).await.map(|_| ())
}

pub(super) async fn delete(
    store: &Store,
    domains: &DomainsLater,
    input: &DeleteBucketInput,
) -> S3Result<DeleteBucketOutput> {
    let id = store.bucket_delete(&request::bucket(&input.bucket)?).await?;
    give_back(domains, id).await;
    Ok(DeleteBucketOutput::default())
}

pub(super) fn location(store: &Store, input: &GetBucketLocationInput) -> S3Result<GetBucketLocationOutput> {
    store.bucket_find(&input.bucket)?;
    let location_constraint = Some(BucketLocationConstraint::from(REGION.to_owned()));
    Ok(GetBucketLocationOutput { location_constraint })
}

/// R2 encrypts every bucket in this way and no other; here the disk's owner decides.
pub(super) fn encryption(
    store: &Store,
    input: &GetBucketEncryptionInput,
) -> S3Result<GetBucketEncryptionOutput> {
    store.bucket_find(&input.bucket)?;
    let mut refusal = s3_error!(
        ServerSideEncryptionConfigurationNotFoundError,
        "The server side encryption configuration was not found."
    );
    // `s3s` would say 400.
    refusal.set_status_code(StatusCode::NOT_FOUND);
    Err(refusal)
}
