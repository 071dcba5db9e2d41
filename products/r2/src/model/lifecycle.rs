//! What happens to objects and unfinished uploads with time (Cloudflare: R2, object lifecycles): the rules as the API writes
//! them.

use serde::{Deserialize, Serialize};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{R2Error, model::StorageClass};

/// Most rules of a bucket (Cloudflare: R2, object lifecycles).
const RULES_MAX: usize = 1000;

/// When unfinished uploads end if nobody says otherwise (Cloudflare: R2, multipart uploads).
const DEFAULT_ABORT_S: u64 = 7 * 24 * 60 * 60;

/// A bucket's rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Lifecycle {
    pub(crate) rules: Vec<LifecycleRule>,
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LifecycleRule {
    pub(crate) id: String,
    #[serde(default = "yes")]
    pub(crate) enabled: bool,
    #[serde(default)]
    pub(crate) conditions: Conditions,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) delete_objects_transition: Option<Transition>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) abort_multipart_uploads_transition: Option<Transition>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) storage_class_transitions: Vec<ClassTransition>,
}

/// Which keys a rule is about.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Conditions {
    #[serde(default)]
    pub(crate) prefix: String,
}

/// Something that happens in its time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Transition {
    pub(crate) condition: Moment,
}

/// A change of the storage class.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ClassTransition {
    pub(crate) condition: Moment,
    pub(crate) storage_class: StorageClass,
}

/// When.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub(crate) enum Moment {
    /// Seconds after the object was written, or the upload begun.
    Age {
        #[serde(rename = "maxAge")]
        max_age: u64,
    },
    /// From a day on, for whatever is older (RFC 3339).
    Date { date: String },
}

impl Default for Lifecycle {
    /// What a bucket has until its owner says otherwise.
    fn default() -> Self {
        Self {
            rules: vec![LifecycleRule {
                id: "Default Multipart Abort Rule".to_owned(),
                enabled: true,
                conditions: Conditions::default(),
                delete_objects_transition: None,
                abort_multipart_uploads_transition: Some(Transition {
                    condition: Moment::Age { max_age: DEFAULT_ABORT_S },
                }),
                storage_class_transitions: Vec::new(),
            }],
        }
    }
}

impl Lifecycle {
    /// Checks what the bucket's owner wrote.
    pub(crate) fn check(self) -> Result<Self, R2Error> {
        if RULES_MAX < self.rules.len() {
            return Err(R2Error::LifecycleInvalid(format!("it has more than {RULES_MAX} rules")));
        }
        for (at, rule) in self.rules.iter().enumerate() {
            let refuse = |why: &str| Err(R2Error::LifecycleInvalid(format!("rule `{}` {why}", rule.id)));
            if rule.id.is_empty() || self.rules[..at].iter().any(|earlier| earlier.id == rule.id) {
                return refuse("has an id that is empty or taken");
            }
            let transitions = [&rule.delete_objects_transition, &rule.abort_multipart_uploads_transition];
            let moments = transitions.into_iter().flatten().map(|transition| &transition.condition);
            let moments =
                moments.chain(rule.storage_class_transitions.iter().map(|transition| &transition.condition));
            let moments: Vec<_> = moments.collect();
            if moments.is_empty() {
                return refuse("does nothing");
            }
            if moments.iter().any(|moment| moment.older_than_ms(u64::MAX).is_none()) {
                return refuse("has a date that is none");
            }
            let is_back = |transition: &ClassTransition| transition.storage_class == StorageClass::Standard;
            if rule.storage_class_transitions.iter().any(is_back) {
                return refuse("can only move objects to InfrequentAccess");
            }
        }
        Ok(self)
    }

    /// The rules that are in force.
    pub(crate) fn enabled(&self) -> impl Iterator<Item = &LifecycleRule> {
        self.rules.iter().filter(|rule| rule.enabled)
    }
}

impl Moment {
    /// What was written at or before this time has come to its moment; `None` while nothing has, or for a date that is none.
    pub(crate) fn older_than_ms(&self, now_ms: u64) -> Option<u64> {
        match self {
            Self::Age { max_age } => now_ms.checked_sub(max_age.saturating_mul(1000)),
            Self::Date { date } => {
                let date = OffsetDateTime::parse(date, &Rfc3339).ok()?;
                let date_ms = u64::try_from(date.unix_timestamp()).ok()?.saturating_mul(1000);
                (date_ms <= now_ms).then_some(now_ms)
            }
        }
    }
}

fn yes() -> bool {
    true
}
