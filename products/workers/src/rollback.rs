//! Going back: what makes a deployment a rollback, and which secrets it would bring back that have changed since.

use std::collections::BTreeMap;

use ::model::{BindingKind, ScriptName, Secret};

use crate::{
    error::WorkersError,
    model::{Portion, Version},
    register::Register,
};

impl Register {
    /// Whether `portions` go back: all requests to one version that has answered before, and is older than what answers
    /// now. Without `is_forced` it is refused if secrets differ from those that are in use now.
    pub(crate) async fn check_rollback(
        &self,
        name: &ScriptName,
        portions: &[Portion],
        is_forced: bool,
    ) -> Result<bool, WorkersError> {
        let [Portion { version_id: target, .. }] = portions else {
            return Ok(false);
        };
        let deployments = self.store().deployments(name).await?;
        let has_answered = deployments.iter().any(|deployment| {
            deployment
                .versions
                .iter()
                .any(|portion| portion.version_id == *target && 0.0 < portion.percentage)
        });
        let Some(target) = self.store().version(name, *target).await?.filter(|_| has_answered) else {
            return Ok(false);
        };
        let Some(current) = self.newest_active(name).await?.filter(|current| target.number < current.number)
        else {
            return Ok(false);
        };
        if !is_forced {
            let changed = self.changed_secrets(name, &target, &current).await?;
            if !changed.is_empty() {
                return Err(WorkersError::SecretsChanged(target.id, changed.join(", ")));
            }
        }
        Ok(true)
    }

    async fn newest_active(&self, name: &ScriptName) -> Result<Option<Version>, WorkersError> {
        let mut newest: Option<Version> = None;
        for id in self.active(name).await? {
            let version = self.store().version(name, id).await?;
            newest = newest.into_iter().chain(version).max_by_key(|version| version.number);
        }
        Ok(newest)
    }

    /// The names of secrets that are not the same in both, in order.
    async fn changed_secrets(
        &self,
        name: &ScriptName,
        one: &Version,
        other: &Version,
    ) -> Result<Vec<String>, WorkersError> {
        let mut secrets: BTreeMap<String, Vec<Secret>> = BTreeMap::new();
        for version in [one, other] {
            for binding in self.store().bindings(name, version).await? {
                if let BindingKind::SecretText(secret) = binding.kind {
                    secrets.entry(binding.name).or_default().push(secret);
                }
            }
        }
        let is_same = |texts: &[Secret]| matches!(texts, [one, other] if one.reveal() == other.reveal());
        Ok(secrets.into_iter().filter(|(_, texts)| !is_same(texts)).map(|(name, _)| name).collect())
    }
}
