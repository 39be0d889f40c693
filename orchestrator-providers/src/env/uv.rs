//! [`UvEnvironments`]: environments built with `uv`.
//!
//! Owns: what creating, finding, testing and removing mean, and who may do it when. Does not own: the steps of a
//! build ([`super::build`]).

use std::path::PathBuf;

use async_trait::async_trait;
use orchestrator_core::env::{EnvError, EnvRegistry, Environment, EnvironmentReport, EnvironmentStatus};
use orchestrator_core::operation::{NoProgress, Progress};
use orchestrator_core::{EnvKey, Paths, Problem};
use tokio_util::sync::CancellationToken;

use super::build::{self, Bench, Tools, blocking, collect_leftovers, io_error};
use super::layout::{EnvPaths, remove_all};
use super::lock::{self, Waited};
use super::log::{self, BuildLog};
use super::manifest::Manifest;
use super::recipe::{self, PythonVersion, Recipe};
use super::{collect, health, python, tool};
use crate::settings::ProviderSettings;

/// Environments built with `uv` from the recipes that are compiled in.
#[derive(Debug)]
pub struct UvEnvironments {
    paths: EnvPaths,
    settings: ProviderSettings,
    recipes: Vec<Recipe>,
}

/// An installed environment and what was written down about it.
struct Installed {
    environment: Environment,
    manifest: Manifest,
}

impl UvEnvironments {
    /// Keeps environments in the folders of `paths`.
    #[must_use]
    pub fn new(paths: EnvPaths, settings: ProviderSettings) -> Self {
        Self { paths, settings, recipes: recipe::all() }
    }

    /// Keeps environments in the folders of a home.
    #[must_use]
    pub fn in_home(paths: &Paths, settings: ProviderSettings) -> Self {
        Self::new(EnvPaths::from(paths), settings)
    }

    fn recipe(&self, key: &EnvKey) -> Result<&Recipe, EnvError> {
        let known = || self.recipes.iter().map(|recipe| recipe.text.key.clone()).collect();
        self.recipes.iter().find(|recipe| recipe.text.key == *key).ok_or_else(|| EnvError::UnknownKey { key: key.clone(), known: known() })
    }

    fn bench<'a>(
        &'a self,
        key: &'a EnvKey,
        progress: &'a dyn Progress,
        cancel: &'a CancellationToken,
        log: Option<&'a BuildLog>,
    ) -> Bench<'a> {
        Bench { key, progress, cancel, log, envs_dir: &self.paths.envs_dir }
    }

    /// Looks at what `current` names. Blocks for a few small reads.
    fn look(&self, key: &EnvKey) -> Result<Installed, EnvError> {
        let versions = self.paths.versions(key);
        let current = self.paths.current(key).map_err(|error| io_error(key, "read", &versions, error))?;
        let Some(digest) = current else { return Err(EnvError::NotInstalled { key: key.clone() }) };
        self.look_at(key, &digest)
    }

    fn look_at(&self, key: &EnvKey, digest: &str) -> Result<Installed, EnvError> {
        let folder = self.paths.version(key, digest);
        let read = Manifest::read(&folder).and_then(|manifest| {
            let environment = manifest.environment(key, &folder)?;
            Ok(Installed { environment, manifest })
        });
        read.map_err(|detail| {
            let log = log::newest(&self.paths.logs(), key).unwrap_or_else(|| self.paths.logs());
            EnvError::Unhealthy { key: key.clone(), detail, log }
        })
    }

    /// Removes older versions that nobody uses. That it fails is no failure of whoever asked for the newest.
    async fn remove_unused(&self, key: &EnvKey) {
        let (of, paths) = (key.clone(), self.paths.clone());
        match blocking(move || collect::remove_unused(&of, &paths)).await {
            Ok(0) => {}
            Ok(removed) => tracing::info!(%key, removed, "removed old versions of an environment"),
            Err(error) => tracing::warn!(%key, %error, "could not remove old versions of an environment"),
        }
    }

    /// Waits for the lock of a key.
    async fn lock(&self, bench: &Bench<'_>) -> Result<std::fs::File, EnvError> {
        let path = self.paths.lock(bench.key);
        let waiting = || bench.phase("waiting for another process that builds this environment");
        match lock::hold(&path, bench.cancel, waiting).await {
            Ok(Waited::Held(held)) => Ok(held),
            Ok(Waited::Cancelled) => Err(bench.cancelled()),
            Err(error) => Err(bench.io("lock", &path, error)),
        }
    }

    /// Builds under the lock, or takes up what an earlier build finished and was killed before naming it current.
    async fn create_locked(&self, recipe: &Recipe, progress: &dyn Progress, cancel: &CancellationToken) -> Result<Environment, EnvError> {
        let key = &recipe.text.key;
        let (leftover_key, paths) = (key.clone(), self.paths.clone());
        if let Err(error) = blocking(move || collect_leftovers(&leftover_key, &paths)).await {
            tracing::warn!(%key, %error, "could not remove what earlier builds left");
        }
        let log = BuildLog::create(&self.paths.logs(), key).map_err(|error| io_error(key, "write", &self.paths.logs(), error))?;
        let bench = self.bench(key, progress, cancel, Some(&log));
        bench.phase("looking for Python");
        let python = python::find(&bench, &self.settings, recipe.text.minimum_python).await?;
        if let Some(finished) = self.take_up(&bench, recipe, python.version).await? {
            return Ok(finished);
        }
        let uv = tool::find_uv(&bench, &self.settings, &self.paths, &python).await?;
        build::build(&bench, recipe, &self.paths, &Tools { uv, python }).await
    }

    /// Looks for a finished build that `current` does not name.
    async fn take_up(&self, bench: &Bench<'_>, recipe: &Recipe, version: PythonVersion) -> Result<Option<Environment>, EnvError> {
        let digest = recipe.digest_on(version);
        let Ok(found) = self.look_at(bench.key, &digest) else { return Ok(None) };
        if let Some(detail) = health::failures(&health::check(bench, recipe, &found.environment.path).await?) {
            bench.note(&format!("`{}` is broken and is built again: {detail}", found.environment.path.display()));
            return Ok(None);
        }
        self.paths.switch(bench.key, &digest).map_err(|error| bench.io("publish", &found.environment.path, error))?;
        Ok(Some(found.environment))
    }
}

#[async_trait]
impl EnvRegistry for UvEnvironments {
    async fn list(&self) -> Result<Vec<EnvironmentStatus>, EnvError> {
        let status = |recipe: &Recipe| {
            let key = &recipe.text.key;
            let (found, problem) = match self.look(key) {
                Ok(found) => (Some(found), None),
                Err(EnvError::NotInstalled { .. }) => (None, None),
                Err(error) => (None, Some(Problem::from(error))),
            };
            let outdated = found.as_ref().is_some_and(|found| found.manifest.recipe_digest != recipe.digest);
            let installed = found.map(|found| found.environment);
            EnvironmentStatus { key: key.clone(), description: recipe.text.description.clone(), installed, problem, outdated }
        };
        Ok(self.recipes.iter().map(status).collect())
    }

    async fn find(&self, key: &EnvKey) -> Result<Environment, EnvError> {
        match self.look(key) {
            Err(EnvError::NotInstalled { .. }) => Err(self.recipe(key).err().unwrap_or(EnvError::NotInstalled { key: key.clone() })),
            other => other.map(|found| found.environment),
        }
    }

    async fn create(&self, key: &EnvKey, progress: &dyn Progress, cancel: &CancellationToken) -> Result<Environment, EnvError> {
        let recipe = self.recipe(key)?;
        let up_to_date = || self.look(key).ok().filter(|found| found.manifest.recipe_digest == recipe.digest);
        if let Some(found) = up_to_date()
            && collect::old_versions(key, &self.paths).is_ok_and(|old| old.is_empty())
        {
            return Ok(found.environment);
        }
        let held = self.lock(&self.bench(key, progress, cancel, None)).await?;
        // Whoever held the lock may have built it meanwhile.
        let result = match up_to_date() {
            Some(found) => Ok(found.environment),
            None => self.create_locked(recipe, progress, cancel).await,
        };
        if result.is_ok() {
            self.remove_unused(key).await;
        }
        drop(held);
        result
    }

    async fn test(&self, key: &EnvKey) -> Result<EnvironmentReport, EnvError> {
        let recipe = self.recipe(key)?;
        let found = self.look(key)?;
        let cancel = CancellationToken::new();
        let bench = self.bench(key, &NoProgress, &cancel, None);
        let checks = health::check(&bench, recipe, &found.environment.path).await?;
        Ok(EnvironmentReport { key: key.clone(), checks })
    }

    async fn remove(&self, key: &EnvKey) -> Result<(), EnvError> {
        let folder = self.paths.versions(key);
        if !folder.exists() {
            self.recipe(key)?;
            return Err(EnvError::NotInstalled { key: key.clone() });
        }
        let cancel = CancellationToken::new();
        let held = self.lock(&self.bench(key, &NoProgress, &cancel, None)).await?;
        // Out of its place at once, so that a removal which is killed leaves nothing half under the final name.
        let (paths, aside, from): (_, PathBuf, _) = (self.paths.clone(), self.paths.new_build(key), folder.clone());
        let removed_key = key.clone();
        let result = blocking(move || {
            std::fs::create_dir_all(paths.building())?;
            std::fs::rename(&from, &aside)?;
            remove_all(&aside)?;
            collect_leftovers(&removed_key, &paths)
        });
        let result = result.await.map_err(|error| io_error(key, "remove", &folder, error));
        drop(held);
        result
    }
}
