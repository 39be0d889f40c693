//! Finds the instance of a home that serves a model, or configures one.

use std::path::Path;

use orchestrator_core::config::template::{self, InitOptions};
use orchestrator_core::config::{ConfigError, InstanceCatalog};
use orchestrator_core::instance::spec::ToolsMode;
use orchestrator_core::model::ModelReference;
use orchestrator_core::{EnvKey, ErrorCode, InstanceName, Problem};

use crate::error::CommandError;
use crate::model_argument;

/// How many numbered names are tried.
const NUMBERED: std::ops::RangeInclusive<u32> = 2..=99;

/// How often another command may write the configuration that was just chosen.
const LOST_RACES: u32 = 5;

/// An instance for a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ChosenInstance {
    /// Its name.
    pub(crate) name: InstanceName,
    /// Whether its configuration was written just now.
    pub(crate) is_new: bool,
}

/// How a new instance is configured.
#[derive(Clone, Copy, Default)]
pub(crate) struct Wishes<'a> {
    /// The environment it runs in; looked for at each start, when there is none.
    pub(crate) env_key: Option<&'a EnvKey>,
    /// How its tool calls are handled.
    pub(crate) tools: ToolsMode,
}

/// Returns the first instance that serves `model`.
#[must_use]
pub(crate) fn find(instances_dir: &Path, model: &ModelReference) -> Option<InstanceName> {
    let catalog = InstanceCatalog::scan(instances_dir);
    catalog.specs().find(|spec| spec.model.reference == *model).map(|spec| spec.name.clone())
}

/// Returns the first of `names` that is free or serves `model` already, and configures it where it is free. When all
/// of them serve other models the last one gets a number.
pub(crate) fn choose(
    instances_dir: &Path,
    names: &[InstanceName],
    model: &ModelReference,
    wishes: Wishes<'_>,
) -> Result<ChosenInstance, CommandError> {
    let mut left = LOST_RACES;
    loop {
        match choose_once(instances_dir, names, model, wishes) {
            // Another command wrote it since we looked, perhaps for the same model.
            Err(ConfigError::Exists { .. }) if left > 0 => left -= 1,
            Ok(Some(chosen)) => return Ok(chosen),
            Ok(None) => {
                let problem = Problem::new(ErrorCode::ConfigConflict, format!("all names for an instance of `{model}` are taken"));
                return Err(problem.with_hint("configure one under another name: `orch init NAME --model REF`").into());
            }
            Err(error) => return Err(error.into()),
        }
    }
}

fn choose_once(
    instances_dir: &Path,
    names: &[InstanceName],
    model: &ModelReference,
    wishes: Wishes<'_>,
) -> Result<Option<ChosenInstance>, ConfigError> {
    let catalog = InstanceCatalog::scan(instances_dir);
    let numbered = names.last().into_iter().flat_map(|last| NUMBERED.filter_map(|number| model_argument::numbered(last, number)));
    for name in names.iter().cloned().chain(numbered) {
        let Some(entry) = catalog.find(&name) else {
            let options =
                InitOptions { env_key: wishes.env_key.cloned(), tools: wishes.tools, ..InitOptions::new(name.clone(), model.clone()) };
            template::init_instance(instances_dir, &options)?;
            return Ok(Some(ChosenInstance { name: options.name, is_new: true }));
        };
        if entry.spec.as_ref().is_ok_and(|spec| spec.model.reference == *model) {
            return Ok(Some(ChosenInstance { name, is_new: false }));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;

    #[test]
    fn a_model_gets_one_instance_and_other_models_get_others() {
        let home = tempfile::tempdir().unwrap();
        let names = [InstanceName::try_new("a").unwrap(), InstanceName::try_new("a-b").unwrap()];
        let choose = |model: &str| {
            let chosen = choose(home.path(), &names, &model.parse().unwrap(), Wishes::default()).unwrap();
            (chosen.name.to_string(), chosen.is_new)
        };
        assert_eq!(choose("file:/m/1.gguf"), ("a".to_owned(), true));
        assert_eq!(choose("file:/m/1.gguf"), ("a".to_owned(), false));
        assert_eq!(choose("file:/m/2.gguf"), ("a-b".to_owned(), true));
        assert_eq!(choose("file:/m/3.gguf"), ("a-b-2".to_owned(), true));
        assert_eq!(choose("file:/m/2.gguf"), ("a-b".to_owned(), false));
        let found = |model: &str| find(home.path(), &model.parse().unwrap()).map(|name| name.to_string());
        assert_eq!((found("file:/m/3.gguf").as_deref(), found("file:/m/4.gguf")), (Some("a-b-2"), None));
    }

    #[test]
    fn commands_that_want_the_same_instance_at_once_share_it() {
        let home = tempfile::tempdir().unwrap();
        let names = [InstanceName::try_new("a").unwrap()];
        let key = EnvKey::try_new("llama-cpp-cpu").unwrap();
        let model: ModelReference = "file:/m/1.gguf".parse().unwrap();
        let chosen = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| choose(home.path(), &names, &model, Wishes { env_key: Some(&key), ..Wishes::default() }).unwrap()))
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
        });
        assert!(chosen.iter().all(|chosen| chosen.name == names[0]), "{chosen:?}");
        assert_eq!(chosen.iter().filter(|chosen| chosen.is_new).count(), 1, "{chosen:?}");
        let catalog = InstanceCatalog::scan(home.path());
        assert_eq!(catalog.specs().next().unwrap().env_key.as_ref(), Some(&key));
    }
}
