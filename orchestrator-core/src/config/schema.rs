//! The JSON Schemas of everything that people write or programs read, made from the types.

use schemars::JsonSchema;
use serde_json::Value;

use super::DaemonConfig;
use crate::env::EnvironmentStatus;
use crate::error::Problem;
use crate::event::Event;
use crate::hardware::Hardware;
use crate::instance::{InstanceSpec, InstanceSummary};
use crate::memory::FitReport;
use crate::model::{InstalledModel, PullPlan};
use crate::operation::Operation;
use crate::orchestrator::models::{Manifest, PruneReport};
use crate::provider::SearchResults;

/// Returns every schema with the name of its file: `schemas/<name>.schema.json`.
#[must_use]
pub fn all() -> Vec<(&'static str, Value)> {
    vec![
        ("instance", instance_schema()),
        ("config", daemon_schema()),
        ("problem", problem_schema()),
        ("event", event_schema()),
        ("instance-summary", instance_summary_schema()),
        ("operation", titled::<Operation>("Operation")),
        ("model", titled::<InstalledModel>("Installed model")),
        ("model-manifest", titled::<Manifest>("Manifest of the model store")),
        ("pull-plan", titled::<PullPlan>("Pull plan")),
        ("search-results", titled::<SearchResults>("Search results")),
        ("fit-report", titled::<FitReport>("Fit report")),
        ("prune-report", titled::<PruneReport>("Prune report")),
        ("environment", titled::<EnvironmentStatus>("Environment")),
        ("hardware", titled::<Hardware>("Hardware")),
    ]
}

/// Returns the schema of an instance's configuration.
#[must_use]
pub fn instance_schema() -> Value {
    titled::<InstanceSpec>("Orchestrator instance configuration")
}

/// Returns the schema of the daemon's configuration.
#[must_use]
pub fn daemon_schema() -> Value {
    titled::<DaemonConfig>("Orchestrator daemon configuration")
}

/// Returns the schema of a failure on the wire (`application/problem+json`).
#[must_use]
pub fn problem_schema() -> Value {
    titled::<Problem>("Problem")
}

/// Returns the schema of an event.
#[must_use]
pub fn event_schema() -> Value {
    titled::<Event>("Event")
}

/// Returns the schema of one row of `orch ps --json`.
#[must_use]
pub fn instance_summary_schema() -> Value {
    titled::<InstanceSummary>("Instance summary")
}

fn titled<T: JsonSchema>(title: &str) -> Value {
    let mut schema = schemars::schema_for!(T);
    schema.insert("title".to_owned(), title.into());
    schema.to_value()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use std::fs;
    use std::path::Path;

    use super::*;

    /// Reads a sample of `tests/configs` and says whether its schema accepts it.
    fn accepts(sample: &str) -> bool {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/configs").join(sample);
        let value: Value = serde_saphyr::from_str(&fs::read_to_string(file).unwrap()).unwrap();
        let schema = if sample.contains("daemon-") { daemon_schema() } else { instance_schema() };
        jsonschema::is_valid(&schema, &value)
    }

    #[test]
    fn editors_that_know_the_schema_agree_with_the_parser() {
        for sample in ["everything.yaml", "minimal.json", "ipv6-host.json", "shared-values.yaml", "daemon-everything.yaml"] {
            assert!(accepts(&format!("valid/{sample}")), "{sample} was refused");
        }
        for sample in [
            "bad-name.yaml",
            "missing-name.yaml",
            "no-model-named.yaml",
            "port-too-large.yaml",
            "two-models.yaml",
            "unknown-key.yaml",
            "wrong-backend.yaml",
            "wrong-type-list.yaml",
            "daemon-unknown-key.yaml",
        ] {
            assert!(!accepts(&format!("invalid/{sample}")), "{sample} was accepted");
        }
    }

    #[test]
    fn the_schemas_in_the_repository_are_current() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../schemas");
        for (name, schema) in all() {
            let written = fs::read_to_string(folder.join(format!("{name}.schema.json"))).unwrap_or_default();
            assert!(written == format!("{schema:#}\n"), "the schema `{name}` is not current: run `cargo xtask gen`");
        }
    }
}
