//! Finds the instance of a home that serves a model, or configures one.

use std::path::Path;

use orchestrator_core::config::InstanceCatalog;
use orchestrator_core::config::template::{self, InitOptions};
use orchestrator_core::instance::spec::{Backend, ToolsMode};
use orchestrator_core::model::ModelReference;
use orchestrator_core::runtime::RuntimeKind;
use orchestrator_core::{ErrorCode, InstanceName, Problem};

use crate::error::CommandError;
use crate::model_argument;

/// How many numbered names are tried.
const NUMBERED: std::ops::RangeInclusive<u32> = 2..=99;

/// An instance for a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ChosenInstance {
    /// Its name.
    pub(crate) name: InstanceName,
    /// Whether its configuration was written just now.
    pub(crate) is_new: bool,
}

/// Returns the first instance that serves `model`.
#[must_use]
pub(crate) fn find(instances_dir: &Path, model: &ModelReference) -> Option<InstanceName> {
    let catalog = InstanceCatalog::scan(instances_dir);
    catalog.specs().find(|spec| spec.model.reference == *model).map(|spec| spec.name.clone())
}

/// Returns the first of `names` that is free or serves `model` already, and configures it where it is free. When all
/// of them serve other models the last one gets a number. A new one handles tool calls as `tools` says.
pub(crate) fn choose(
    instances_dir: &Path,
    names: &[InstanceName],
    model: &ModelReference,
    tools: ToolsMode,
) -> Result<ChosenInstance, CommandError> {
    let catalog = InstanceCatalog::scan(instances_dir);
    let numbered = names.last().into_iter().flat_map(|last| NUMBERED.filter_map(|number| model_argument::numbered(last, number)));
    for name in names.iter().cloned().chain(numbered) {
        let Some(entry) = catalog.find(&name) else {
            let (name, model) = (name.clone(), model.clone());
            let options = InitOptions { name, model, runtime: RuntimeKind::LlamaCpp, backend: Backend::Cpu, tools };
            template::init_instance(instances_dir, &options)?;
            return Ok(ChosenInstance { name: options.name, is_new: true });
        };
        if entry.spec.as_ref().is_ok_and(|spec| spec.model.reference == *model) {
            return Ok(ChosenInstance { name, is_new: false });
        }
    }
    let problem = Problem::new(ErrorCode::ConfigConflict, format!("all names for an instance of `{model}` are taken"));
    Err(problem.with_hint("configure one under another name: `orch init NAME --model REF`").into())
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
            let chosen = choose(home.path(), &names, &model.parse().unwrap(), ToolsMode::default()).unwrap();
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
}
