//! The instance that a model is tried in: made under a free name, and removed without a trace.

use std::path::PathBuf;

use orchestrator_core::model::{InstalledModel, ModelPurpose};
use orchestrator_core::{ErrorCode, InstanceName, Paths, Problem};
use orchestrator_server::{Client, ClientError};
use serde_json::{Value, json};

use crate::error::CommandError;
use crate::model_argument;

/// How many tokens the context holds: enough for every check, and little memory.
const CONTEXT: u64 = 2_048;
/// How many names are tried.
const NAMES: std::ops::RangeInclusive<u32> = 2..=99;
/// What the names begin with.
const PREFIX: &str = "smoke";

/// The instance.
#[derive(Debug)]
pub(super) struct Stage {
    name: InstanceName,
    /// Where configurations go that are removed.
    removed: PathBuf,
    logs: PathBuf,
}

impl Stage {
    /// Configures an instance for a model.
    pub(super) fn set(paths: &Paths, model: &InstalledModel) -> Result<Self, CommandError> {
        let unusable = |error: std::io::Error| {
            let problem = Problem::new(ErrorCode::HomeUnusable, format!("could not write below `{}`", paths.instances_dir().display()));
            problem.with_cause(error.to_string()).with_hint("check the permissions and the free space of the home directory")
        };
        std::fs::create_dir_all(paths.instances_dir()).map_err(unusable)?;
        for name in names(model) {
            let folder = paths.instance_dir(&name);
            match std::fs::create_dir(&folder) {
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => continue,
                made => made.map_err(unusable)?,
            }
            let text = config(&name, model).to_string();
            // Whole or not at all: the daemon may look at any moment.
            let written = std::fs::write(folder.join("config.new"), text);
            written.and_then(|()| std::fs::rename(folder.join("config.new"), folder.join("config.json"))).map_err(unusable)?;
            let logs = paths.instance_logs_dir(&name);
            return Ok(Self { name, removed: paths.instances_dir().join(".removed"), logs });
        }
        let problem = Problem::new(ErrorCode::ConfigConflict, "all names for an instance to try a model in are taken");
        Err(problem
            .with_hint(format!("remove what earlier tries left: `orch ps` lists `{PREFIX}-…`, `orch rm --force NAME` removes one"))
            .into())
    }

    /// Returns its name.
    pub(super) fn name(&self) -> &InstanceName {
        &self.name
    }

    /// Ends and removes it, with its configuration and its logs, which no person wrote.
    pub(super) async fn strike(&self, client: &Client) -> Result<(), CommandError> {
        match client.stop_and_remove(&self.name).await {
            Err(ClientError::Problem(problem)) if problem.code == ErrorCode::InstanceUnknown => {}
            outcome => outcome?,
        }
        let _ = std::fs::remove_dir_all(&self.logs);
        let own = format!("{}-", self.name);
        for entry in std::fs::read_dir(&self.removed).into_iter().flatten().flatten() {
            let moment = entry.file_name().to_string_lossy().strip_prefix(&own).map(str::to_owned);
            if moment.is_some_and(|moment| moment.bytes().all(|byte| byte.is_ascii_digit())) {
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
        Ok(())
    }
}

fn names(model: &InstalledModel) -> impl Iterator<Item = InstanceName> {
    let of_model = model_argument::instance_name(&model.reference).map(|name| format!("{PREFIX}-{name}"));
    let first = InstanceName::try_new(of_model.unwrap_or_else(|| PREFIX.to_owned())).ok();
    let numbered = first.clone().into_iter().flat_map(|first| NAMES.filter_map(move |number| model_argument::numbered(&first, number)));
    first.into_iter().chain(numbered)
}

fn config(name: &InstanceName, model: &InstalledModel) -> Value {
    let arguments: &[&str] = match ModelPurpose::of(model) {
        ModelPurpose::Generation => &[],
        ModelPurpose::Embedding => &["--embeddings"],
        ModelPurpose::Ranking => &["--reranking"],
    };
    json!({
        "name": name,
        "model": { "ref": model.reference, "context_size": model.context_length.unwrap_or(CONTEXT).clamp(1, CONTEXT) },
        "args": arguments,
        "tools": { "mode": "strict" },
        // Who tries a model wants to hear at once that it cannot be loaded.
        "restart_policy": { "enabled": false },
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use orchestrator_core::config::InstanceCatalog;
    use orchestrator_core::model::{ModelDefaults, ModelFormat};

    use super::*;

    fn model(reference: &str, architecture: &str) -> InstalledModel {
        InstalledModel {
            reference: reference.parse().unwrap(),
            path: PathBuf::from("/m/x.gguf"),
            format: ModelFormat::Gguf,
            name: None,
            architecture: architecture.to_owned(),
            quantisation: None,
            context_length: Some(512),
            parameters: 0,
            size_bytes: 0,
            has_chat_template: true,
            files: Vec::new(),
            revision: None,
            licence: None,
            projector: None,
            defaults: ModelDefaults::default(),
        }
    }

    #[test]
    fn each_try_has_an_instance_of_its_own_with_a_valid_configuration() {
        let home = tempfile::tempdir().unwrap();
        let paths = Paths::in_home(home.path());
        let qwen = model("hf:owner/Qwen:Q4_0", "qwen3");
        let (first, second) = (Stage::set(&paths, &qwen).unwrap(), Stage::set(&paths, &qwen).unwrap());
        assert_eq!((first.name().as_str(), second.name().as_str()), ("smoke-qwen-q4-0", "smoke-qwen-q4-0-2"));
        let bert = Stage::set(&paths, &model("ollama:nomic", "nomic-bert")).unwrap();
        let catalog = InstanceCatalog::scan(&paths.instances_dir());
        assert_eq!(catalog.specs().count(), 3, "a configuration is not valid");
        let spec = catalog.specs().find(|spec| spec.name == *bert.name()).unwrap();
        assert_eq!((spec.args.as_slice(), spec.model.context_size.unwrap().get()), (["--embeddings".to_owned()].as_slice(), 512));
    }
}
