//! The register's words and limits: scripts, versions, deployments and where they came from.

use std::{collections::BTreeMap, time::Duration};

use model::{Compatibility, DeploymentId, Entry, ScriptName, TokenId, VersionId};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::exports::Exports;

/// Largest script after gzip (Cloudflare: Workers limits, paid plan).
pub const SCRIPT_BYTES_MAX: u64 = 10 * 1024 * 1024;

/// Largest upload before gzip, over all its parts (source maps included).
pub(crate) const UPLOAD_BYTES_MAX: u64 = 128 * 1024 * 1024;

/// Most parts in an upload: its modules, source maps and metadata.
pub(crate) const UPLOAD_PARTS_MAX: usize = 2_000;

/// Most uploads in memory at a time, since each is buffered whole until it is committed; more wait.
pub(crate) const UPLOADS_MAX: usize = 8;

/// Longest time an upload may take to arrive.
pub(crate) const UPLOAD_TIMEOUT: Duration = Duration::from_secs(300);

/// Largest metadata part; bindings carry at most 128 variables of 5 KB.
pub(crate) const METADATA_BYTES_MAX: usize = 1024 * 1024;

/// Most modules in a version.
pub(crate) const MODULES_MAX: usize = 1_000;

/// Longest name of a module.
pub(crate) const MODULE_NAME_BYTES_MAX: usize = 1_024;

/// Most bindings in a version.
pub(crate) const BINDINGS_MAX: usize = 1_000;

/// Most variables and secrets in a version (Cloudflare: Workers limits, paid plan).
pub(crate) const VARIABLES_MAX: usize = 128;

/// Largest variable or secret (Cloudflare: Workers limits, 5 KB).
pub(crate) const VARIABLE_BYTES_MAX: usize = 5 * 1024;

/// Longest annotation, such as the message of a deployment.
pub(crate) const ANNOTATION_BYTES_MAX: usize = 1_000;

/// Most versions in one deployment.
pub(crate) const DEPLOYMENT_VERSIONS_MAX: usize = 10;

/// Most versions of a script that answer at a preview host, newest first.
pub(crate) const PREVIEWS_MAX: usize = 100;

/// Most versions of a script that are kept; the oldest go first, unless they answer requests.
pub(crate) const VERSIONS_KEPT_MAX: u64 = 1_000;

/// Most deployments of a script that are kept.
pub(crate) const DEPLOYMENTS_KEPT_MAX: u64 = 1_000;

/// Most versions and deployments a list without paging shows, newest first.
pub(crate) const LISTED_MAX: usize = 100;

/// Most Workers (Cloudflare: Workers limits, 500 on the paid plan; ours is only there to have one).
pub(crate) const SCRIPTS_MAX: usize = 10_000;

/// Longest label of a host name (RFC 1035).
pub(crate) const LABEL_BYTES_MAX: usize = 63;

/// The date a version runs by when its upload names none (Cloudflare: compatibility dates).
pub(crate) const COMPATIBILITY_DATE_DEFAULT: &str = "2021-11-02";

/// Most Durable Object classes in a Worker (Cloudflare: Durable Objects limits, 500 an account).
pub(crate) const CLASSES_MAX: usize = 500;

/// Longest name of a Durable Object class.
pub(crate) const CLASS_NAME_BYTES_MAX: usize = 256;

/// A Worker, apart from its code.
#[derive(Debug, Clone)]
pub(crate) struct Script {
    /// Its name.
    pub(crate) name: ScriptName,
    /// Its other, immutable name: 32 hex digits.
    pub(crate) tag: String,
    /// When it was first uploaded.
    pub(crate) created_ms: u64,
    /// When it last changed.
    pub(crate) modified_ms: u64,
    /// Where it answers.
    pub(crate) subdomain: Subdomain,
    /// `logpush`, `tags`, `observability` and tail consumers, as last given.
    pub(crate) settings: Map<String, Value>,
    /// Whether it has Durable Objects: then its versions have no preview hosts, as on Cloudflare.
    pub(crate) has_objects: bool,
    /// The tag of its last Durable Object migration.
    pub(crate) migration_tag: Option<String>,
}

/// Whether a Worker answers below the base domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Subdomain {
    /// At `<script>.<base>`.
    #[serde(rename = "enabled")]
    pub(crate) is_enabled: bool,
    /// At `<version>-<script>.<base>`.
    #[serde(rename = "previews_enabled")]
    pub(crate) has_previews: bool,
}

/// An immutable version, apart from its code and secrets.
#[derive(Debug, Clone)]
pub(crate) struct Version {
    /// Its identifier.
    pub(crate) id: VersionId,
    /// Counts up from 1 within the script.
    pub(crate) number: u64,
    /// When it was uploaded.
    pub(crate) created_ms: u64,
    /// Who uploaded it.
    pub(crate) origin: Origin,
    /// SHA-256 of its modules.
    pub(crate) etag: String,
    /// How long its trial start took.
    pub(crate) startup_ms: u64,
    /// What its upload said.
    pub(crate) manifest: Manifest,
}

/// What an upload said of a version, as it is kept and shown.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Manifest {
    /// Where its code begins.
    pub(crate) entry: Entry,
    /// Which behaviour of the runtime it asked for.
    pub(crate) compatibility: Compatibility,
    /// Its bindings in the API's form; secrets without their text.
    pub(crate) bindings: Vec<Value>,
    /// `workers/message`, `workers/tag` and the like.
    pub(crate) annotations: BTreeMap<String, String>,
    /// `placement` and `limits`, kept to be shown.
    pub(crate) hints: Map<String, Value>,
    /// The Durable Object classes that it was found to export.
    #[serde(default)]
    pub(crate) classes: Vec<String>,
    /// What it declares of Durable Object classes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) exports: Option<Exports>,
}

impl Manifest {
    /// Whether it was found to export a class.
    pub(crate) fn has_class(&self, class: &str) -> bool {
        self.classes.iter().any(|known| known == class)
    }

    /// The tag given at upload, or empty.
    pub(crate) fn tag(&self) -> &str {
        self.annotations.get("workers/tag").map_or("", String::as_str)
    }
}

/// Which versions answer a Worker's requests, from a moment on.
#[derive(Debug, Clone)]
pub(crate) struct Deployment {
    /// Its identifier.
    pub(crate) id: DeploymentId,
    /// When it was made.
    pub(crate) created_ms: u64,
    /// Who made it.
    pub(crate) origin: Origin,
    /// Versions and percentages; these add up to 100.
    pub(crate) versions: Vec<Portion>,
    /// `workers/message` and the like.
    pub(crate) annotations: BTreeMap<String, String>,
}

/// A version's part of a deployment, as the API writes it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Portion {
    /// The version.
    #[serde(with = "version_text")]
    pub(crate) version_id: VersionId,
    /// Between 0 and 100.
    pub(crate) percentage: f64,
}

/// Who made a change, and with what.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    /// The token used.
    pub(crate) author: TokenId,
    /// `wrangler` or `api`.
    pub(crate) source: String,
}

/// Versions arrive with and without hyphens and leave with them.
mod version_text {
    use model::VersionId;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(id: &VersionId, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(id)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<VersionId, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}
