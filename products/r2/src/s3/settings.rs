//! CORS and lifecycle rules in S3's words. They are kept as the API writes them; what only S3 can say is refused.

use s3s::{S3Error, S3Result, dto::*, s3_error};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    R2Error,
    model::{
        Allowed, ClassTransition, Cors, CorsRule, Lifecycle, LifecycleConditions, LifecycleRule as OurRule,
        Moment, StorageClass, Transition as OurTransition,
    },
    store::{Setting, Store},
};

const DAY_S: u64 = 24 * 60 * 60;

pub(super) fn cors_read(store: &Store, input: &GetBucketCorsInput) -> S3Result<GetBucketCorsOutput> {
    let bucket = store.bucket_find(&input.bucket)?;
    let cors: Cors = store.setting(&bucket.name, Setting::Cors)?.ok_or(R2Error::CorsMissing)?;
    let told = |rule: CorsRule| CORSRule {
        id: rule.id,
        allowed_headers: Some(rule.allowed.headers).filter(|headers| !headers.is_empty()),
        allowed_methods: rule.allowed.methods,
        allowed_origins: rule.allowed.origins,
        expose_headers: Some(rule.expose_headers).filter(|headers| !headers.is_empty()),
        max_age_seconds: rule.max_age_seconds.and_then(|seconds| i32::try_from(seconds).ok()),
    };
    Ok(GetBucketCorsOutput { cors_rules: Some(cors.rules.into_iter().map(told).collect()) })
}

pub(super) async fn cors_write(store: &Store, input: PutBucketCorsInput) -> S3Result<PutBucketCorsOutput> {
    let bucket = store.bucket_find(&input.bucket)?;
    let kept = |rule: CORSRule| CorsRule {
        id: rule.id,
        allowed: Allowed {
            methods: rule.allowed_methods,
            origins: rule.allowed_origins,
            headers: rule.allowed_headers.unwrap_or_default(),
        },
        expose_headers: rule.expose_headers.unwrap_or_default(),
        max_age_seconds: rule.max_age_seconds.map(|seconds| u32::try_from(seconds).unwrap_or(0)),
    };
    let cors = Cors { rules: input.cors_configuration.cors_rules.into_iter().map(kept).collect() };
    store.setting_put(&bucket.name, Setting::Cors, &cors.check()?).await?;
    Ok(PutBucketCorsOutput::default())
}

pub(super) async fn cors_delete(
    store: &Store,
    input: &DeleteBucketCorsInput,
) -> S3Result<DeleteBucketCorsOutput> {
    store.setting_delete(&store.bucket_find(&input.bucket)?.name, Setting::Cors).await?;
    Ok(DeleteBucketCorsOutput::default())
}

pub(super) fn lifecycle_read(
    store: &Store,
    input: &GetBucketLifecycleConfigurationInput,
) -> S3Result<GetBucketLifecycleConfigurationOutput> {
    let bucket = store.bucket_find(&input.bucket)?;
    let lifecycle: Lifecycle = store.setting(&bucket.name, Setting::Lifecycle)?.unwrap_or_default();
    let rules = lifecycle.rules.into_iter().map(told).collect::<S3Result<_>>()?;
    Ok(GetBucketLifecycleConfigurationOutput { rules: Some(rules), ..Default::default() })
}

pub(super) async fn lifecycle_write(
    store: &Store,
    input: PutBucketLifecycleConfigurationInput,
) -> S3Result<PutBucketLifecycleConfigurationOutput> {
    let bucket = store.bucket_find(&input.bucket)?;
    let rules = input.lifecycle_configuration.map(|configuration| configuration.rules).unwrap_or_default();
    let rules = rules.into_iter().enumerate().map(|(at, rule)| kept(at, rule));
    let lifecycle = Lifecycle { rules: rules.collect::<S3Result<_>>()? };
    store.setting_put(&bucket.name, Setting::Lifecycle, &lifecycle.check()?).await?;
    Ok(PutBucketLifecycleConfigurationOutput::default())
}

pub(super) async fn lifecycle_delete(
    store: &Store,
    input: &DeleteBucketLifecycleInput,
) -> S3Result<DeleteBucketLifecycleOutput> {
    store.setting_delete(&store.bucket_find(&input.bucket)?.name, Setting::Lifecycle).await?;
    Ok(DeleteBucketLifecycleOutput::default())
}

fn kept(at: usize, rule: LifecycleRule) -> S3Result<OurRule> {
    let filter = rule.filter.unwrap_or_default();
    let is_other = filter.tag.is_some()
        || filter.object_size_greater_than.is_some()
        || filter.object_size_less_than.is_some()
        || filter.and.as_ref().is_some_and(|and| and.tags.is_some() || and.prefix.is_none())
        || rule.noncurrent_version_expiration.is_some()
        || rule.noncurrent_version_transitions.is_some();
    if is_other {
        return Err(s3_error!(
            NotImplemented,
            "Lifecycle rules are about prefixes and current objects alone"
        ));
    }
    let prefix = filter.prefix.or_else(|| filter.and.and_then(|and| and.prefix)).or(rule.prefix);
    let class = |transition: Transition| {
        let is_known = transition.storage_class.as_ref().map(TransitionStorageClass::as_str)
            == Some(TransitionStorageClass::STANDARD_IA);
        if !is_known {
            return Err(s3_error!(InvalidArgument, "Objects can only move to STANDARD_IA"));
        }
        let condition = moment(transition.days, transition.date)?;
        Ok(ClassTransition { condition, storage_class: StorageClass::InfrequentAccess })
    };
    let delete = rule.expiration.map(|expiration| moment(expiration.days, expiration.date));
    let abort = rule.abort_incomplete_multipart_upload.map(|abort| moment(abort.days_after_initiation, None));
    Ok(OurRule {
        id: rule.id.unwrap_or_else(|| format!("rule-{}", at + 1)),
        enabled: rule.status.as_str() == ExpirationStatus::ENABLED,
        conditions: LifecycleConditions { prefix: prefix.unwrap_or_default() },
        delete_objects_transition: delete.transpose()?.map(|condition| OurTransition { condition }),
        abort_multipart_uploads_transition: abort.transpose()?.map(|condition| OurTransition { condition }),
        storage_class_transitions: rule
            .transitions
            .into_iter()
            .flatten()
            .map(class)
            .collect::<S3Result<_>>()?,
    })
}

fn moment(days: Option<i32>, date: Option<Timestamp>) -> S3Result<Moment> {
    match (days.and_then(|days| u64::try_from(days).ok()), date) {
        (Some(days), None) if 0 < days => Ok(Moment::Age { max_age: days * DAY_S }),
        (None, Some(date)) => {
            let date: OffsetDateTime = date.into();
            Ok(Moment::Date { date: date.format(&Rfc3339).map_err(S3Error::internal_error)? })
        }
        _ => Err(s3_error!(InvalidArgument, "A rule needs a positive number of days, or a date")),
    }
}

fn told(rule: OurRule) -> S3Result<LifecycleRule> {
    let expiration = rule.delete_objects_transition.map(|transition| {
        let (days, date) = told_moment(&transition.condition)?;
        Ok::<_, S3Error>(LifecycleExpiration { days, date, expired_object_delete_marker: None })
    });
    let abort = rule.abort_multipart_uploads_transition.map(|transition| {
        let (days_after_initiation, _) = told_moment(&transition.condition)?;
        Ok::<_, S3Error>(AbortIncompleteMultipartUpload { days_after_initiation })
    });
    let class = |transition: ClassTransition| {
        let (days, date) = told_moment(&transition.condition)?;
        let class = TransitionStorageClass::from_static(TransitionStorageClass::STANDARD_IA);
        Ok::<_, S3Error>(Transition { days, date, storage_class: Some(class) })
    };
    let transitions: Vec<_> =
        rule.storage_class_transitions.into_iter().map(class).collect::<Result<_, _>>()?;
    let status = if rule.enabled { ExpirationStatus::ENABLED } else { ExpirationStatus::DISABLED };
    Ok(LifecycleRule {
        id: Some(rule.id),
        status: ExpirationStatus::from_static(status),
        filter: Some(LifecycleRuleFilter {
            prefix: Some(rule.conditions.prefix),
            ..LifecycleRuleFilter::default()
        }),
        expiration: expiration.transpose()?,
        abort_incomplete_multipart_upload: abort.transpose()?,
        transitions: (!transitions.is_empty()).then_some(transitions),
        prefix: None,
        noncurrent_version_expiration: None,
        noncurrent_version_transitions: None,
    })
}

/// Days are all that S3 knows: what was set in seconds over the API is told in days begun.
fn told_moment(moment: &Moment) -> S3Result<(Option<i32>, Option<Timestamp>)> {
    match moment {
        Moment::Age { max_age } => Ok((i32::try_from(max_age.div_ceil(DAY_S)).ok(), None)),
        Moment::Date { date } => {
            let date = OffsetDateTime::parse(date, &Rfc3339).map_err(S3Error::internal_error)?;
            Ok((None, Some(date.into())))
        }
    }
}
