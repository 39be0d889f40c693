//! One tool: its name, its full and its portable schema, and what is allowed with it.

use std::sync::{Arc, OnceLock};

use serde_json::{Value, json};

use super::coerce::Coercion;
use crate::error::ToolError;
use crate::schema::{self, Validator};
use crate::verdict::shorten;

/// A tool that a model may call.
#[derive(Debug, Clone)]
pub struct Tool {
    definition: Arc<Definition>,
    pub(super) read_only: bool,
    pub(super) coercion: Option<Coercion>,
}

#[derive(Debug)]
struct Definition {
    name: String,
    description: Option<String>,
    parameters: Value,
    portable: Value,
    validator: Validator,
    closed: OnceLock<Option<Validator>>,
}

impl Tool {
    /// Makes a tool of a name, a description for the model, and the JSON Schema of its arguments.
    ///
    /// # Errors
    /// The name has characters that protocols do not carry, or the schema cannot be compiled.
    pub fn try_new(name: &str, description: Option<&str>, parameters: Value) -> Result<Self, ToolError> {
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ':' | '/');
        if name.is_empty() || name.len() > 128 || !name.chars().all(is_name) {
            return Err(ToolError::BadName { name: shorten(name.to_owned()) });
        }
        let parameters = match parameters {
            Value::Null => json!({"type": "object", "properties": {}}),
            parameters => parameters,
        };
        let validator = Validator::named(&parameters, name)?;
        let portable = schema::portable(&parameters);
        Ok(Self {
            definition: Arc::new(Definition {
                name: name.to_owned(),
                description: description.map(str::to_owned),
                parameters,
                portable,
                validator,
                closed: OnceLock::new(),
            }),
            read_only: false,
            coercion: None,
        })
    }

    /// The name, which a call must repeat exactly.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.definition.name
    }

    /// What it does, in words for the model.
    #[must_use]
    pub fn description(&self) -> Option<&str> {
        self.definition.description.as_deref()
    }

    /// The full JSON Schema of its arguments.
    #[must_use]
    pub fn parameters(&self) -> &Value {
        &self.definition.parameters
    }

    /// The portable subset of that schema, which accepts at least as much.
    #[must_use]
    pub fn portable_parameters(&self) -> &Value {
        &self.definition.portable
    }

    /// Whether repaired calls of it may run, because it changes nothing.
    #[must_use]
    pub const fn is_read_only(&self) -> bool {
        self.read_only
    }

    /// The policy for changing types in its arguments, if there is one.
    #[must_use]
    pub const fn coercion(&self) -> Option<Coercion> {
        self.coercion
    }

    /// The compiled full schema.
    #[must_use]
    pub fn validator(&self) -> &Validator {
        &self.definition.validator
    }

    /// The full schema with undeclared properties forbidden, if that makes a usable schema.
    pub(super) fn closed_validator(&self) -> Option<&Validator> {
        self.definition.closed.get_or_init(|| Validator::new(&schema::close(&self.definition.parameters)).ok()).as_ref()
    }
}
