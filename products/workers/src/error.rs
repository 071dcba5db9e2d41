//! What can go wrong in the register, and how the REST door says it. Codes and most sentences are Cloudflare's
//! (docs: Workers, Observability, Errors on Worker upload; the rest observed).

use axum::http::StatusCode;
use model::{NameError, ScriptName, VersionId};
use product::TrialError;
use store::{StoreError, VaultError, rusqlite};
use v4::{ApiError, code};

use crate::{
    exports::ExportsProblem,
    model::{BINDINGS_MAX, MODULES_MAX, VARIABLE_BYTES_MAX, VARIABLES_MAX},
    pattern::PatternError,
};

/// Why the register refused or failed.
#[derive(Debug, thiserror::Error)]
pub enum WorkersError {
    /// No Worker of this name.
    #[error("This Worker does not exist on your account.")]
    ScriptMissing,
    /// No Worker of this name, asked for as a service.
    #[error("workers.api.error.service_not_found: this Worker does not exist on your account")]
    ServiceMissing,
    /// No such version of this Worker.
    #[error("version {0} does not exist for this Worker")]
    VersionMissing(VersionId),
    /// The text in the path is no version id.
    #[error("`{0}` is not a version id")]
    VersionInvalid(String),
    /// The Worker's name breaks the rules.
    #[error(transparent)]
    NameInvalid(#[from] NameError),
    /// There is no room for another Worker.
    #[error("this installation already has {0} Workers")]
    TooManyScripts(usize),
    /// The upload is not what an upload looks like.
    #[error("could not parse the upload: {0}")]
    UploadInvalid(String),
    /// The modules are too large.
    #[error("Your Worker exceeded the size limit of {} MiB: after compression it has more", .0 / (1024 * 1024))]
    ScriptTooLarge(u64),
    /// The version cannot run, or says something that cannot be.
    #[error("{0}")]
    Rejected(String),
    /// More modules than a version may have.
    #[error("the upload has more than {MODULES_MAX} modules")]
    TooManyModules,
    /// More bindings than a version may have.
    #[error("the upload has more than {BINDINGS_MAX} bindings")]
    TooManyBindings,
    /// A binding without a name.
    #[error("binding {0} of the upload has no name")]
    BindingNameless(usize),
    /// Two bindings of one name.
    #[error("Binding name '{0}' already in use. Please use a different name and try again.")]
    BindingTaken(String),
    /// A variable or secret is too large.
    #[error("variable '{0}' exceeds the size limit of {VARIABLE_BYTES_MAX} bytes")]
    VariableTooLarge(String),
    /// Too many variables and secrets.
    #[error("the upload has more than {VARIABLES_MAX} environment variables and secrets")]
    TooManyVariables,
    /// A binding to a KV namespace that is not there.
    #[error("KV namespace '{0}' not found.")]
    NamespaceMissing(String),
    /// A binding to an R2 bucket that is not there.
    #[error("R2 bucket '{0}' not found. Please use a different name and try again.")]
    BucketMissing(String),
    /// A binding to a D1 database that is not there.
    #[error("D1 binding '{binding}' references database '{id}' which was not found.")]
    DatabaseMissing {
        /// The binding.
        binding: String,
        /// The database.
        id: String,
    },
    /// A service binding to a Worker that is not there.
    #[error(
        "Could not resolve service binding '{binding}'. Target script '{script}' not found. Please verify the target script and try again."
    )]
    ServiceTargetMissing {
        /// The binding.
        binding: String,
        /// The Worker that it names.
        script: ScriptName,
    },
    /// A binding to inherit that the latest version, or the one named, does not have.
    // wrangler recognises a missing secret by the first words.
    #[error("inherit binding '{0}' is invalid: the version that it comes from has no binding of this name")]
    InheritMissing(String),
    /// No secret of this name; the code and words are observed.
    #[error("Binding '{0}' not found.")]
    SecretMissing(String),
    /// A change of a secret, while something else than the latest version answers.
    // wrangler says its own sentence for this code and the next.
    #[error(
        "cannot deploy a changed secret: the latest version of this Worker does not answer all its requests"
    )]
    SecretNeedsDeployment,
    /// A change of bindings, while something else than the latest version answers.
    #[error(
        "cannot deploy changed settings: the latest version of this Worker does not answer all its requests"
    )]
    SettingsNeedDeployment,
    /// The Worker has no version that another could be made from.
    #[error("this Worker has no version")]
    NoVersions,
    /// Going back would bring back other secrets.
    // wrangler takes the names from behind the colon.
    #[error("cannot go back to version {0} unless forced. The following secrets have changed: {1}")]
    SecretsChanged(VersionId, String),
    /// A deployment that cannot be.
    #[error("{0}")]
    DeploymentInvalid(String),
    /// No zone has this id.
    #[error("Invalid zone identifier")]
    ZoneMissing,
    /// No zone, or not the one that was named, holds this host.
    #[error(
        "no zone here holds '{0}', or it is not the zone that was named; create it with POST /zones or under [[zones]] in the settings file"
    )]
    ZoneUnknown(String),
    /// There is a zone of this name.
    #[error("{0} already exists")]
    ZoneTaken(String),
    /// The name is no domain.
    #[error("'{0}' is not a domain name")]
    ZoneNameInvalid(String),
    /// The pattern of a route breaks the rules.
    #[error(transparent)]
    PatternInvalid(#[from] PatternError),
    /// Another route has the pattern.
    #[error(
        "A route with the same pattern already exists: {pattern}{}",
        .script.as_ref().map_or_else(|| ", without a Worker".to_owned(), |script| format!(", of the Worker '{script}'"))
    )]
    RouteTaken {
        /// As the other route has it.
        pattern: String,
        /// Whose it is.
        script: Option<ScriptName>,
    },
    /// No route of this zone has this id.
    #[error("workers.api.error.not_found: no such route in this zone")]
    RouteMissing,
    /// A route to a Worker that is not there.
    #[error(
        "Cannot configure a route for a Worker which does not exist. Please ensure this Worker exists and try again."
    )]
    RouteScriptMissing,
    /// Not a host name.
    #[error("'{0}' is not a host name; a custom domain has no scheme, port, path or wildcard")]
    DomainInvalid(String),
    /// Another Worker has the host.
    #[error(
        "Hostname '{0}' already in use by other custom domain. Either delete it, try a different hostname, or use the option 'override_existing_origin' to override."
    )]
    DomainTaken(String),
    /// A host belongs to a bucket or a Worker already, and is taken from neither.
    #[error(
        "Hostname '{0}' is already a custom domain of a Worker or a bucket: remove it there first, or use another"
    )]
    DomainInUse(String),
    /// No custom domain has this id.
    #[error("workers.api.error.not_found: no such custom domain")]
    DomainMissing,
    /// There is no room for another.
    #[error("there are already {0} {1}")]
    TooMany(usize, &'static str),
    /// The client's idea of which migrations were done is not ours.
    #[error("Migration tag precondition failed; current tag is {}", .0.as_deref().unwrap_or("not set"))]
    MigrationTag(Option<String>),
    /// A migration in an upload that is only to be kept.
    #[error(
        "Version upload failed. You attempted to upload a version of a Worker that includes a Durable Object migration, but migrations must be fully applied by running \"wrangler deploy\". See https://developers.cloudflare.com/workers/configuration/versions-and-deployments/gradual-deployments/#gradual-deployments-for-durable-objects for more information."
    )]
    MigrationNeedsDeployment,
    /// A migration of a class that there is not.
    #[error("Cannot apply {migration} migration to non-existent class {class}")]
    ClassMissing {
        /// The class.
        class: String,
        /// The migration's field.
        migration: &'static str,
    },
    /// A migration to a class that there is already.
    #[error(
        "Cannot apply {migration} migration to class '{class}' that is already depended on by existing Durable Objects"
    )]
    ClassTaken {
        /// The class.
        class: String,
        /// The migration.
        migration: &'static str,
    },
    /// A migration to a class that the code does not export.
    #[error("Cannot apply {migration} migration to class '{class}' that is not exported by script.")]
    ClassNotExported {
        /// The class.
        class: String,
        /// The migration.
        migration: &'static str,
    },
    /// The code does not export a class that has objects.
    #[error(
        "New version of script does not export class '{0}' which is depended on by existing Durable Objects. If you want to delete these Durable Objects, you will need to create a delete-class migration."
    )]
    ClassDependedOn(String),
    /// A binding to a class that no migration has made.
    #[error(
        "Cannot create binding for class '{0}' because it is not currently configured to implement Durable Objects. Configure a migration in your configuration to add this class."
    )]
    ClassUnknown(String),
    /// A binding to a class of a Worker that there is not; the sentence is observed.
    #[error("Cannot create binding for class '{class}' in script '{script}' that does not exist.")]
    ClassScriptMissing {
        /// The class.
        class: String,
        /// The Worker.
        script: ScriptName,
    },
    /// A binding to a class of another Worker that has no namespace there.
    #[error(
        "Cannot create binding for class '{class}' in script '{script}' because it is not currently configured to implement Durable Objects. Configure a migration in that script's configuration to add this class."
    )]
    ClassForeignUnknown {
        /// The class.
        class: String,
        /// The Worker.
        script: ScriptName,
    },
    /// A class is deleted and bound by the same upload.
    #[error(
        "Cannot apply --delete-class migration to class '{0}' without also removing the binding that references it."
    )]
    ClassStillBound(String),
    /// The declared exports, the code and the namespaces do not go together.
    #[error(
        "Durable Object exports reconciliation failed: {}",
        .0.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    )]
    Exports(Vec<ExportsProblem>),
    /// The versions of a deployment declare different exports.
    #[error("Versions of one deployment must declare the same Durable Object `exports`.")]
    ExportsDiffer,
    /// A binding, in an upload that is only kept, to a class that is declared and has no namespace yet.
    #[error(
        "Cannot create binding '{binding}' for class '{class}': it is declared in `exports`, but its namespace is made when a version is deployed. Deploy this version with \"wrangler deploy\", or remove the binding and use `ctx.exports.{class}`."
    )]
    BindingNeedsDeployment {
        /// The binding.
        binding: String,
        /// The class.
        class: String,
    },
    /// No namespace of Durable Objects has this id.
    #[error("Durable Object namespace '{0}' not found.")]
    ObjectNamespaceMissing(String),
    /// Something of Cloudflare's that is not here yet.
    #[error("{0} is not supported by this version of Skerry yet")]
    Unsupported(String),
    /// The runtime cannot try the version just now.
    #[error("the Worker could not be tried: {0}")]
    Unavailable(String),
    /// The server is stopping, or the change's task failed; the log says which.
    #[error("the change was interrupted; ask again what its state is")]
    Interrupted,
    /// A row does not say what we once wrote.
    #[error("the register holds an unreadable {0}")]
    Damaged(&'static str),
    /// Below the register's own rules.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A secret does not open.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

impl From<rusqlite::Error> for WorkersError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

impl From<TrialError> for WorkersError {
    fn from(error: TrialError) -> Self {
        match error {
            TrialError::Rejected(text) => Self::Rejected(text),
            TrialError::Unavailable(text) => Self::Unavailable(text),
        }
    }
}

impl From<WorkersError> for ApiError {
    fn from(error: WorkersError) -> Self {
        use WorkersError as E;
        let (status, code) = match &error {
            E::ScriptMissing => (StatusCode::NOT_FOUND, 10_007),
            E::ServiceMissing => (StatusCode::NOT_FOUND, 10_090),
            E::VersionMissing(_) | E::VersionInvalid(_) => (StatusCode::NOT_FOUND, 10_222),
            E::NameInvalid(_) => (StatusCode::BAD_REQUEST, 10_016),
            E::TooManyScripts(_) => (StatusCode::FORBIDDEN, 10_037),
            E::UploadInvalid(_) => (StatusCode::BAD_REQUEST, 10_026),
            E::ScriptTooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, 10_027),
            E::Rejected(_) | E::TooManyModules | E::TooManyBindings => (StatusCode::BAD_REQUEST, 10_021),
            E::BindingNameless(_) => (StatusCode::BAD_REQUEST, 10_052),
            E::BindingTaken(_) => (StatusCode::BAD_REQUEST, 10_053),
            E::VariableTooLarge(_) => (StatusCode::BAD_REQUEST, 10_054),
            E::TooManyVariables => (StatusCode::BAD_REQUEST, 10_055),
            E::NamespaceMissing(_) => (StatusCode::BAD_REQUEST, 10_041),
            E::BucketMissing(_) => (StatusCode::BAD_REQUEST, 10_085),
            E::DatabaseMissing { .. } => (StatusCode::BAD_REQUEST, 10_181),
            E::ServiceTargetMissing { .. } => (StatusCode::BAD_REQUEST, 10_143),
            E::InheritMissing(_) => (StatusCode::BAD_REQUEST, 10_057),
            E::SecretMissing(_) => (StatusCode::NOT_FOUND, 10_056),
            E::SettingsNeedDeployment => (StatusCode::BAD_REQUEST, 10_214),
            E::SecretNeedsDeployment => (StatusCode::BAD_REQUEST, 10_215),
            E::NoVersions => (StatusCode::NOT_FOUND, 10_222),
            E::SecretsChanged(..) => (StatusCode::BAD_REQUEST, 10_220),
            E::DeploymentInvalid(_) => (StatusCode::BAD_REQUEST, code::BAD_REQUEST),
            E::ZoneMissing => (StatusCode::BAD_REQUEST, 1_001),
            E::ZoneUnknown(_) | E::ZoneNameInvalid(_) | E::DomainInvalid(_) => {
                (StatusCode::BAD_REQUEST, code::BAD_REQUEST)
            }
            E::ZoneTaken(_) => (StatusCode::BAD_REQUEST, 1_061),
            E::PatternInvalid(_) => (StatusCode::BAD_REQUEST, 10_022),
            E::RouteTaken { .. } => (StatusCode::CONFLICT, 10_020),
            E::RouteMissing | E::DomainMissing => (StatusCode::NOT_FOUND, 10_005),
            E::RouteScriptMissing => (StatusCode::BAD_REQUEST, 10_019),
            E::DomainTaken(_) | E::DomainInUse(_) => (StatusCode::CONFLICT, 100_116),
            E::TooMany(..) => (StatusCode::FORBIDDEN, code::BAD_REQUEST),
            E::MigrationTag(_) => (StatusCode::PRECONDITION_FAILED, 10_079),
            E::MigrationNeedsDeployment => (StatusCode::BAD_REQUEST, 10_211),
            E::ClassTaken { .. } => (StatusCode::BAD_REQUEST, 10_074),
            E::ClassNotExported { .. } => (StatusCode::BAD_REQUEST, 10_070),
            E::ClassDependedOn(_) => (StatusCode::BAD_REQUEST, 10_064),
            E::ClassMissing { .. }
            | E::ClassUnknown(_)
            | E::ClassScriptMissing { .. }
            | E::ClassForeignUnknown { .. }
            | E::ClassStillBound(_) => (StatusCode::BAD_REQUEST, 10_061),
            E::Exports(details) => {
                let meta = serde_json::json!({ "details": details });
                return Self::new(StatusCode::BAD_REQUEST, 100_402, error.to_string()).with_meta(meta);
            }
            E::ExportsDiffer => (StatusCode::BAD_REQUEST, 100_405),
            E::BindingNeedsDeployment { .. } => (StatusCode::BAD_REQUEST, 100_406),
            E::ObjectNamespaceMissing(_) => (StatusCode::NOT_FOUND, 10_066),
            E::Unsupported(_) => (StatusCode::BAD_REQUEST, code::UNSUPPORTED),
            E::Unavailable(_) => (StatusCode::SERVICE_UNAVAILABLE, code::INTERNAL),
            E::Interrupted | E::Damaged(_) | E::Store(_) | E::Vault(_) => {
                return Self::internal(&error);
            }
        };
        Self::new(status, code, error.to_string())
    }
}
