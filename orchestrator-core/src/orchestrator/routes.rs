//! Which instances a client means: instance names, aliases, model references and short names of models. Several
//! instances of one model share the requests for it.

use std::collections::HashMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{ErrorCode, Problem};
use crate::instance::InstanceSpec;
use crate::names::InstanceName;

/// A model that clients may ask for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ServedModel {
    /// The name to ask for.
    pub id: String,
    /// The instance that answers.
    pub instance: InstanceName,
    /// Its other names.
    pub aliases: Vec<String>,
    /// Its model, in short.
    pub model: String,
    /// Its state in one word.
    pub state: String,
}

/// The names that clients may use. Made anew when configurations change, then only read.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    by_name: HashMap<String, Vec<InstanceName>>,
}

/// How many near names are told.
const NEAREST: usize = 3;

impl Routes {
    /// Names come first, then aliases, then references and short names of models.
    pub(crate) fn new<'a>(specs: impl Iterator<Item = &'a Arc<InstanceSpec>> + Clone) -> Self {
        let mut by_name: HashMap<String, Vec<InstanceName>> = HashMap::new();
        for spec in specs.clone() {
            by_name.insert(spec.name.to_string(), vec![spec.name.clone()]);
        }
        for spec in specs.clone() {
            for alias in &spec.aliases {
                by_name.entry(alias.clone()).or_insert_with(|| vec![spec.name.clone()]);
            }
        }
        let mut by_model: HashMap<String, Vec<InstanceName>> = HashMap::new();
        for spec in specs {
            let reference = &spec.model.reference;
            let (short, long) = (reference.short_name(), reference.to_string());
            for text in if short == long { vec![long] } else { vec![short, long] } {
                by_model.entry(text).or_default().push(spec.name.clone());
            }
        }
        for (text, instances) in by_model {
            by_name.entry(text).or_insert(instances);
        }
        Self { by_name }
    }

    /// Finds the instances a client means; one or more.
    pub(crate) fn find(&self, model: &str) -> Option<&[InstanceName]> {
        self.by_name.get(model).map(Vec::as_slice)
    }

    /// Says that nothing has that name, and what has a name like it.
    pub(crate) fn unknown(&self, model: &str) -> Problem {
        let shown: String = model.chars().take(100).flat_map(char::escape_debug).collect();
        let problem = Problem::new(ErrorCode::ModelUnknown, format!("no instance, alias or model is called `{shown}`"));
        let mut near: Vec<(f64, &str)> = self
            .by_name
            .keys()
            .map(|name| (strsim::jaro_winkler(name, &shown), name.as_str()))
            .filter(|(likeness, _)| *likeness > 0.7)
            .collect();
        near.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(b.1)));
        let near: Vec<String> = near.into_iter().take(NEAREST).map(|(_, name)| format!("`{name}`")).collect();
        if near.is_empty() {
            return problem.with_hint("`GET /v1/models` and `orch ps` list the names there are");
        }
        problem.with_hint(format!("is {} meant? `GET /v1/models` and `orch ps` list all names", near.join(" or ")))
    }
}
