//! What the register does about Durable Objects: which classes an upload or a deployment leaves a Worker with, what its
//! bindings to them mean, and whose processes have to know.

use ::model::{
    BindingKind, ObjectClass, ObjectNamespaceId, ObjectTarget, Objects, ObjectsRole, ScriptName, ScriptTag,
    VersionId,
};

use crate::{
    classes::{Classes, Migrations, Sources, check_deployable},
    error::WorkersError,
    exports::{Exports, Situation},
    model::Portion,
    register::{Draft, Intent, Register},
};

impl Draft {
    /// The classes that its trial looks for.
    pub(crate) fn class_names(&self) -> Vec<String> {
        match &self.declared {
            Some((exports, situation)) => exports.named(&situation.classes),
            None => self.classes.now.iter().map(|class| class.name.clone()).collect(),
        }
    }
}

impl Register {
    /// The script's Durable Object classes, as migrations make them.
    pub(crate) async fn migrated(
        &self,
        name: &ScriptName,
        migrations: Option<Migrations>,
    ) -> Result<Classes, WorkersError> {
        let now = self.store().classes(name).await?;
        match migrations {
            Some(migrations) => {
                let tag = self.store().script(name).await?.and_then(|script| script.migration_tag);
                let mut sources = Sources::new();
                for source in migrations.sources().filter(|source| *source != name) {
                    sources.insert(source.clone(), self.store().classes(source).await?);
                }
                Classes::migrate(now, tag.as_deref(), migrations, sources)
            }
            None => Ok(Classes { now, change: None }),
        }
    }

    /// The script's classes as a declaration makes them if the code exports what it says; a version that is only kept
    /// changes none.
    pub(crate) async fn declared(
        &self,
        name: &ScriptName,
        before: Classes,
        exports: Option<Exports>,
        intent: Intent,
    ) -> Result<(Classes, Option<(Exports, Situation)>), WorkersError> {
        let Some(exports) = exports else { return Ok((before, None)) };
        let situation = self.situation(name, &exports).await?;
        let classes = match intent {
            Intent::Deploy => exports.reconcile(name, &situation, |class| exports.is_live(class))?,
            Intent::Keep => before,
        };
        Ok((classes, Some((exports, situation))))
    }

    /// What a declaration is held against.
    async fn situation(&self, name: &ScriptName, exports: &Exports) -> Result<Situation, WorkersError> {
        let mut situation = Situation { classes: self.store().classes(name).await?, ..Situation::default() };
        for other in exports.scripts().filter(|other| *other != name) {
            if self.store().script(other).await?.is_some() {
                situation.others.insert(other.clone(), self.store().classes(other).await?);
            }
        }
        for hint in self.store().hints(name).await? {
            // What answers for the target must be able to run the objects.
            if hint.source != *name
                || hint.is_committed
                || self.exports_class(&hint.target, &hint.class).await?
            {
                situation.hints.push(hint);
            }
        }
        for (caller, binding) in self.bindings_to_scripts().await? {
            let is_it = |class: &&ObjectClass| binding["namespace_id"] == class.namespace.as_str();
            if let Some(class) = situation.classes.iter().find(is_it) {
                let callers = situation.callers.entry(class.name.clone()).or_default();
                if !callers.contains(&caller) {
                    callers.push(caller);
                }
            }
        }
        Ok(situation)
    }

    /// Whether all versions that answer for a script export a class.
    async fn exports_class(&self, name: &ScriptName, class: &str) -> Result<bool, WorkersError> {
        let active = self.active(name).await?;
        for id in &active {
            let version = self.store().version(name, *id).await?;
            if !version.is_some_and(|version| version.manifest.has_class(class)) {
                return Ok(false);
            }
        }
        Ok(!active.is_empty())
    }

    /// Finds what each binding of a version to Durable Objects means.
    pub(crate) async fn bind_all_objects(
        &self,
        name: &ScriptName,
        draft: &mut Draft,
        intent: Intent,
    ) -> Result<(), WorkersError> {
        let declared = draft.declared.as_ref().filter(|_| intent == Intent::Keep);
        for binding in &mut draft.bindings {
            let BindingKind::ObjectClass(target) = &mut binding.kind else { continue };
            let is_own = target.script.as_ref().is_none_or(|script| script == name);
            let is_declared = declared.is_some_and(|(exports, _)| exports.is_live(&target.class));
            if is_own && is_declared && !draft.classes.has(&target.class) {
                let (binding, class) = (binding.name.clone(), target.class.clone());
                return Err(WorkersError::BindingNeedsDeployment { binding, class });
            }
            self.bind_objects(name, &draft.classes, target).await?;
        }
        Ok(())
    }

    /// Finds what a binding to a class of Durable Objects means: a class of this Worker, or the namespace that another one
    /// has for its class now. What was found once stays, whatever becomes of the other Worker's classes.
    async fn bind_objects(
        &self,
        name: &ScriptName,
        classes: &Classes,
        target: &mut ObjectTarget,
    ) -> Result<(), WorkersError> {
        // A Worker may name itself as the one that implements a class.
        target.script.take_if(|script| script == name);
        let Some(script) = &target.script else {
            target.namespace = None;
            return classes.check_bound(&target.class);
        };
        if target.namespace.is_none() {
            let (class, script) = (target.class.clone(), script.clone());
            if self.store().script(&script).await?.is_none() {
                return Err(WorkersError::ClassScriptMissing { class, script });
            }
            let found = self.store().object_namespace(&script, &class).await?;
            target.namespace = Some(found.ok_or(WorkersError::ClassForeignUnknown { class, script })?);
        }
        Ok(())
    }

    /// What the versions of a deployment declare of Durable Object classes, which is the same in all of them.
    pub(crate) async fn exports_of(
        &self,
        name: &ScriptName,
        portions: &[Portion],
    ) -> Result<Option<Exports>, WorkersError> {
        let mut declared = Vec::new();
        for portion in portions {
            // One that is not there is refused when it is to be deployed.
            let version = self.store().version(name, portion.version_id).await?;
            declared.extend(version.map(|version| version.manifest.exports));
        }
        let first = declared.pop();
        if declared.iter().any(|other| Some(other) != first.as_ref()) {
            return Err(WorkersError::ExportsDiffer);
        }
        Ok(first.flatten())
    }

    /// Whether these versions may run the script's Durable Objects, and what becomes of its classes.
    pub(crate) async fn check_objects(
        &self,
        name: &ScriptName,
        portions: &[Portion],
        exports: Option<&Exports>,
    ) -> Result<Classes, WorkersError> {
        let mut versions = Vec::new();
        for portion in portions {
            versions.extend(self.store().version(name, portion.version_id).await?);
        }
        let classes = match exports {
            Some(exports) => {
                let situation = self.situation(name, exports).await?;
                let exporting =
                    |class: &str| versions.iter().all(|version| version.manifest.has_class(class));
                exports.reconcile(name, &situation, exporting)?
            }
            None => Classes { now: self.store().classes(name).await?, change: None },
        };
        for version in &versions {
            check_deployable(version, &classes.now)?;
        }
        Ok(classes)
    }

    /// What a trial is told of the classes, and of others that it is to look for: they are in no namespace yet, and nobody's
    /// home.
    pub(crate) fn objects_to_try(classes: &Classes, names: &[String]) -> Option<Objects> {
        let mut classes = classes.now.clone();
        for name in names {
            if classes.iter().all(|class| class.name != *name) {
                let (namespace, name) = (ObjectNamespaceId::random(), name.clone());
                classes.push(ObjectClass { namespace, name, has_sql: true });
            }
        }
        (!classes.is_empty()).then(|| {
            let (home, role) = (ScriptTag::random(), ObjectsRole::Owner);
            Objects { home, classes, role }
        })
    }

    /// What answers for other scripts whose classes come or go: whoever asks for one of these starts it anew, with the
    /// classes that it has then.
    pub(crate) async fn touched_by(&self, classes: &Classes) -> Result<Vec<VersionId>, WorkersError> {
        let mut touched = Vec::new();
        if let Some(change) = &classes.change {
            let targets = change.given.iter().map(|(_, target, _)| target);
            for script in change.sources.iter().chain(targets) {
                touched.extend(self.active(script).await?);
            }
        }
        Ok(touched)
    }
}
