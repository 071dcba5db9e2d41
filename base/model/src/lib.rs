//! Plain words that every floor shares: identifiers, names, and what a version of a Worker is made of. No I/O and no
//! async; rules that belong to one product live in that product's room.

mod bucket;
mod ids;
mod worker;

pub use bucket::{BucketDomain, BucketName, BucketNameError, BucketPlace, NewBucketDomain};
pub use ids::{
    AccountId, DatabaseId, DeploymentId, IdError, NamespaceId, ObjectNamespaceId, ScriptTag, TokenId,
    VersionId,
};
pub use worker::{
    Binding, BindingKind, Caller, CallsKey, Compatibility, Entry, Entrypoint, Module, ModuleKind, NameError,
    ObjectClass, ObjectTarget, Objects, ObjectsRole, SCRIPT_NAME_BYTES_MAX, ScriptName, Secret,
    ServiceTarget, VersionMetadata, WorkerVersion,
};
