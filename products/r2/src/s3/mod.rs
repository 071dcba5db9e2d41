//! Door 3: the S3 API. The crate `s3s` reads requests, checks signatures and writes answers; here is what each operation means.
//! An operation that R2 does not have is one that is not here: `s3s` answers it with `NotImplemented`.

mod buckets;
mod describe;
mod keys;
mod list;
mod objects;
mod payload;
mod plain;
mod request;
mod settings;
mod signature;
mod uploads;

pub use keys::{AccessKey, AccessKeys};
pub(crate) use objects::range;

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{Response, StatusCode},
};
use s3s::{
    S3, S3Error, S3Request, S3Response, S3Result, StdError,
    config::{S3Config, StaticConfigProvider},
    dto::*,
    service::{S3Service, S3ServiceBuilder},
};

use self::plain::Plain;
use crate::{domains::DomainsLater, pages::Page, store::Store};

/// Largest body that is XML: 10,000 parts with their checksums, or 1,000 keys of 1,024 bytes with all of them escaped.
const XML_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Makes the door. Buckets answer at `/<bucket>` and at the hosts `<bucket>.<base_domain>` and `<bucket>.s3.<base_domain>`.
pub(crate) fn router(
    store: Arc<Store>,
    domains: DomainsLater,
    keys: Arc<dyn AccessKeys>,
    base_domain: &str,
) -> Router {
    let mut config = S3Config::default();
    config.xml_max_body_size = XML_BYTES_MAX;
    config.presigned_url_max_skew_time_secs = signature::CLOCK_SKEW_S_MAX;
    let mut service = S3ServiceBuilder::new(Door { store: Arc::clone(&store), domains });
    service.set_config(Arc::new(StaticConfigProvider::new(Arc::new(config))));
    service.set_auth(keys::Secrets(Arc::clone(&keys)));
    service.set_access(keys::Rights(Arc::clone(&keys)));
    service.set_host(request::Hosts::new(base_domain));
    service.set_validation(request::Names);
    let hosts = request::Hosts::new(base_domain);
    let front = Front { service: service.build(), store, keys, hosts };
    Router::new().fallback(answer).with_state(Arc::new(front))
}

/// What stands before `s3s`.
struct Front {
    service: S3Service,
    store: Arc<Store>,
    keys: Arc<dyn AccessKeys>,
    hosts: request::Hosts,
}

async fn answer(State(front): State<Arc<Front>>, request: Request) -> Response<Body> {
    let bucket = || request::bucket_of(&request, &front.hosts);
    let page = match Page::of(request.method(), request.headers(), &front.store, bucket) {
        Ok(page) => page,
        Err(error) => return refuse(error.into()),
    };
    if let Some(answer) = page.as_ref().and_then(Page::preflight) {
        return answer;
    }
    let object = match Plain::of(&request, &front.hosts, &*front.keys) {
        Some(plain) => plain.read(&front.store).await,
        None => None,
    };
    let mut response = match object {
        Some(response) => response,
        None => answer_any(&front.service, request).await,
    };
    if let Some(page) = page {
        page.allow(&mut response);
    }
    response
}

/// Answers any request.
async fn answer_any(service: &S3Service, mut request: Request) -> Response<Body> {
    let prepared = request::refuse_what_r2_lacks(&request)
        .and_then(|()| signature::refuse(&request))
        .and_then(|()| request::headers_of_address(&mut request));
    if let Err(refusal) = prepared {
        return refuse(refusal);
    }
    let request = request.map(|body| s3s::Body::http_body_unsync(payload::Patient::new(body)));
    match service.call(request).await {
        Ok(response) => response.map(Body::new),
        Err(error) => unwritten(&StdError::from(error)),
    }
}

fn refuse(refusal: S3Error) -> Response<Body> {
    match refusal.to_http_response() {
        Ok(response) => response.map(Body::new),
        Err(error) => unwritten(&error.into()),
    }
}

fn unwritten(error: &StdError) -> Response<Body> {
    tracing::error!(%error, "An S3 answer could not be written");
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    response
}

/// All operations, over one store.
struct Door {
    store: Arc<Store>,
    domains: DomainsLater,
}

/// What an operation is given and what it answers, as `s3s` has it.
type Given<T> = S3Request<T>;
type Answer<T> = S3Result<S3Response<T>>;

#[async_trait::async_trait]
impl S3 for Door {
    async fn list_buckets(&self, given: Given<ListBucketsInput>) -> Answer<ListBucketsOutput> {
        buckets::list(&self.store, given.input).await.map(S3Response::new)
    }

    async fn head_bucket(&self, given: Given<HeadBucketInput>) -> Answer<HeadBucketOutput> {
        buckets::head(&self.store, &given.input).map(S3Response::new)
    }

    async fn create_bucket(&self, given: Given<CreateBucketInput>) -> Answer<CreateBucketOutput> {
        buckets::create(&self.store, given.input).await.map(S3Response::new)
    }

    async fn delete_bucket(&self, given: Given<DeleteBucketInput>) -> Answer<DeleteBucketOutput> {
        buckets::delete(&self.store, &self.domains, &given.input).await.map(S3Response::new)
    }

    async fn get_bucket_location(
        &self,
        given: Given<GetBucketLocationInput>,
    ) -> Answer<GetBucketLocationOutput> {
        buckets::location(&self.store, &given.input).map(S3Response::new)
    }

    async fn get_bucket_encryption(
        &self,
        given: Given<GetBucketEncryptionInput>,
    ) -> Answer<GetBucketEncryptionOutput> {
        buckets::encryption(&self.store, &given.input).map(S3Response::new)
    }

    async fn get_bucket_cors(&self, given: Given<GetBucketCorsInput>) -> Answer<GetBucketCorsOutput> {
        settings::cors_read(&self.store, &given.input).map(S3Response::new)
    }

    async fn put_bucket_cors(&self, given: Given<PutBucketCorsInput>) -> Answer<PutBucketCorsOutput> {
        settings::cors_write(&self.store, given.input).await.map(S3Response::new)
    }

    async fn delete_bucket_cors(
        &self,
        given: Given<DeleteBucketCorsInput>,
    ) -> Answer<DeleteBucketCorsOutput> {
        settings::cors_delete(&self.store, &given.input).await.map(S3Response::new)
    }

    async fn get_bucket_lifecycle_configuration(
        &self,
        given: Given<GetBucketLifecycleConfigurationInput>,
    ) -> Answer<GetBucketLifecycleConfigurationOutput> {
        settings::lifecycle_read(&self.store, &given.input).map(S3Response::new)
    }

    async fn put_bucket_lifecycle_configuration(
        &self,
        given: Given<PutBucketLifecycleConfigurationInput>,
    ) -> Answer<PutBucketLifecycleConfigurationOutput> {
        settings::lifecycle_write(&self.store, given.input).await.map(S3Response::new)
    }

    async fn delete_bucket_lifecycle(
        &self,
        given: Given<DeleteBucketLifecycleInput>,
    ) -> Answer<DeleteBucketLifecycleOutput> {
        settings::lifecycle_delete(&self.store, &given.input).await.map(S3Response::new)
    }

    async fn list_objects(&self, given: Given<ListObjectsInput>) -> Answer<ListObjectsOutput> {
        list::objects(&self.store, given.input).await.map(S3Response::new)
    }

    async fn list_objects_v2(&self, given: Given<ListObjectsV2Input>) -> Answer<ListObjectsV2Output> {
        list::objects_v2(&self.store, given.input).await.map(S3Response::new)
    }

    async fn head_object(&self, given: Given<HeadObjectInput>) -> Answer<HeadObjectOutput> {
        objects::head(&self.store, given.input)
    }

    async fn get_object(&self, given: Given<GetObjectInput>) -> Answer<GetObjectOutput> {
        objects::get(&self.store, given.input).await
    }

    async fn put_object(&self, given: Given<PutObjectInput>) -> Answer<PutObjectOutput> {
        request::refuse_headers(&given.headers)?;
        buckets::create_if_asked(&self.store, &given.headers, &given.input.bucket).await?;
        objects::put(&self.store, given).await.map(S3Response::new)
    }

    async fn copy_object(&self, given: Given<CopyObjectInput>) -> Answer<CopyObjectOutput> {
        request::refuse_headers(&given.headers)?;
        buckets::create_if_asked(&self.store, &given.headers, &given.input.bucket).await?;
        let conditions = request::conditions_of_target(&given.headers);
        objects::copy(&self.store, given.input, conditions).await.map(S3Response::new)
    }

    async fn delete_object(&self, given: Given<DeleteObjectInput>) -> Answer<DeleteObjectOutput> {
        objects::delete(&self.store, given.input).await.map(S3Response::new)
    }

    async fn delete_objects(&self, given: Given<DeleteObjectsInput>) -> Answer<DeleteObjectsOutput> {
        objects::delete_many(&self.store, given.input).await.map(S3Response::new)
    }

    async fn create_multipart_upload(
        &self,
        given: Given<CreateMultipartUploadInput>,
    ) -> Answer<CreateMultipartUploadOutput> {
        request::refuse_headers(&given.headers)?;
        buckets::create_if_asked(&self.store, &given.headers, &given.input.bucket).await?;
        uploads::create(&self.store, given.input).await.map(S3Response::new)
    }

    async fn upload_part(&self, given: Given<UploadPartInput>) -> Answer<UploadPartOutput> {
        uploads::part_put(&self.store, given).await.map(S3Response::new)
    }

    async fn upload_part_copy(&self, given: Given<UploadPartCopyInput>) -> Answer<UploadPartCopyOutput> {
        uploads::part_copy(&self.store, given.input).await.map(S3Response::new)
    }

    async fn complete_multipart_upload(
        &self,
        given: Given<CompleteMultipartUploadInput>,
    ) -> Answer<CompleteMultipartUploadOutput> {
        uploads::complete(&self.store, given.input).await.map(S3Response::new)
    }

    async fn abort_multipart_upload(
        &self,
        given: Given<AbortMultipartUploadInput>,
    ) -> Answer<AbortMultipartUploadOutput> {
        uploads::abort(&self.store, given.input).await.map(S3Response::new)
    }

    async fn list_parts(&self, given: Given<ListPartsInput>) -> Answer<ListPartsOutput> {
        list::parts(&self.store, given.input).await.map(S3Response::new)
    }

    async fn list_multipart_uploads(
        &self,
        given: Given<ListMultipartUploadsInput>,
    ) -> Answer<ListMultipartUploadsOutput> {
        list::uploads(&self.store, given.input).await.map(S3Response::new)
    }
}
