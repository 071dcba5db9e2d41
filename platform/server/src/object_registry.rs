//! What the room of Durable Objects has to know of the register and the engine.

use std::sync::Arc;

use durable_objects::{Namespace, Registry};
use engine::{Engine, StartError};
use futures_util::{FutureExt, future::BoxFuture};
use model::ScriptTag;
use product::Runtime as _;
use workers::{ObjectNamespace, Register};

/// How often a Worker that is being replaced is asked for.
const WAKE_ATTEMPTS_MAX: usize = 3;

/// The register's namespaces, and the engine that runs their objects.
pub(crate) struct ObjectRegistry {
    pub(crate) register: Arc<Register>,
    pub(crate) engine: Engine,
}

impl Registry for ObjectRegistry {
    fn namespaces(&self) -> BoxFuture<'_, Result<Vec<Namespace>, String>> {
        async {
            let namespaces = self.register.object_namespaces().await.map_err(|error| error.to_string())?;
            let namespace = |ObjectNamespace { class, script, home }| Namespace {
                id: class.namespace,
                class: class.name,
                script,
                home,
            };
            Ok(namespaces.into_iter().map(namespace).collect())
        }
        .boxed()
    }

    fn stop<'a>(&'a self, home: &'a ScriptTag) -> BoxFuture<'a, Result<(), String>> {
        async move {
            let owner = self.register.object_owner(home).await.map_err(|error| error.to_string())?;
            self.engine.retire(owner.into_iter().collect());
            Ok(())
        }
        .boxed()
    }

    fn wake<'a>(&'a self, home: &'a ScriptTag) -> BoxFuture<'a, Result<(), String>> {
        async move {
            for _ in 0..WAKE_ATTEMPTS_MAX {
                let owner = self.register.object_owner(home).await.map_err(|error| error.to_string())?;
                // Without a deployment nothing runs, and nothing is due until there is one.
                let Some(version) = owner else { return Ok(()) };
                match self.engine.acquire(version).await {
                    Ok(_lease) => return Ok(()),
                    Err(StartError::Replaced(_)) => {}
                    Err(error) => return Err(error.to_string()),
                }
            }
            Err("it was replaced each time".to_owned())
        }
        .boxed()
    }
}
