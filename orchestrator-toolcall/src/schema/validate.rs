//! A compiled JSON Schema that says what is wrong with a value without repeating the value.
//!
//! Owns the only use of the `jsonschema` crate: no reference is ever fetched, patterns run in linear time, and
//! findings carry the place, the keyword and what it wants, never the offending text.

use std::fmt;

use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::{PatternOptions, ValidationError};
use serde_json::Value;

use super::cost::{Cost, weigh};
use crate::error::ToolError;
use crate::verdict::{Problem, shorten};

/// The most memory one compiled pattern may take, in bytes.
const PATTERN_SIZE: usize = 1 << 20;

/// How deep values may be nested for the reason of their failure to be told, where telling is slow.
const MAX_EXPLAINED_DEPTH: usize = 4;

/// The most places whose types are changed in one go.
const MAX_TYPE_FINDINGS: usize = 256;

/// A JSON Schema, compiled once and shared between threads.
///
/// The draft is the one that `$schema` names, 2020-12 without it.
///
/// # Examples
/// ```
/// use orchestrator_toolcall::schema::Validator;
/// use serde_json::json;
///
/// let validator = Validator::new(&json!({"type": "object", "required": ["city"]}))?;
/// assert!(validator.is_valid(&json!({"city": "Paris"})));
///
/// let problems = validator.problems(&json!({}), 5);
/// assert_eq!((problems[0].keyword.as_str(), problems[0].expected.as_str()), ("required", "city"));
/// # Ok::<(), orchestrator_toolcall::ToolError>(())
/// ```
pub struct Validator {
    compiled: jsonschema::Validator,
    cost: Cost,
}

impl Validator {
    /// Compiles a schema.
    ///
    /// # Errors
    /// The schema is no JSON Schema, refers to something outside itself, or holds a pattern that cannot be
    /// matched in linear time.
    pub fn new(schema: &Value) -> Result<Self, ToolError> {
        Self::named(schema, "the value")
    }

    /// Compiles the schema of something, which errors will name.
    ///
    /// # Errors
    /// As [`Validator::new`].
    pub fn named(schema: &Value, subject: &str) -> Result<Self, ToolError> {
        let refuse = |reason| ToolError::Schema { subject: subject.to_owned(), reason: shorten(reason) };
        let cost = weigh(schema).map_err(refuse)?;
        jsonschema::options()
            .offline()
            .with_pattern_options(PatternOptions::regex().size_limit(PATTERN_SIZE).dfa_size_limit(PATTERN_SIZE))
            .build(schema)
            .map(|compiled| Self { compiled, cost })
            .map_err(|error| refuse(error.to_string()))
    }

    /// Says whether a value matches; the quick question.
    #[must_use]
    pub fn is_valid(&self, value: &Value) -> bool {
        self.compiled.is_valid(value)
    }

    /// Lists at most `limit` findings; none if the value matches.
    #[must_use]
    pub fn problems(&self, value: &Value, limit: usize) -> Vec<Problem> {
        if self.is_valid(value) {
            return Vec::new();
        }
        if !self.explains(value) {
            return vec![Problem::new("", "$ref", "a value that matches the schema")];
        }
        self.compiled.iter_errors(value).take(limit).map(|error| problem(&error)).collect()
    }

    /// Says whether finding out why a value fails takes reasonable time.
    fn explains(&self, value: &Value) -> bool {
        !self.cost.explains_slowly || !is_deeper(value, MAX_EXPLAINED_DEPTH)
    }

    /// The places whose type is wrong, with the types that would be right there.
    pub(crate) fn type_findings(&self, value: &Value) -> Vec<(String, Vec<String>)> {
        if !self.explains(value) {
            return Vec::new();
        }
        self.compiled
            .iter_errors(value)
            .take(MAX_TYPE_FINDINGS)
            .filter_map(|error| {
                let types = match error.kind() {
                    ValidationErrorKind::Type { kind: TypeKind::Single(single) } => vec![single.to_string()],
                    ValidationErrorKind::Type { kind: TypeKind::Multiple(several) } => several.iter().map(|one| one.to_string()).collect(),
                    _ => return None,
                };
                Some((error.instance_path().as_str().to_owned(), types))
            })
            .collect()
    }
}

impl fmt::Debug for Validator {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Validator").finish_non_exhaustive()
    }
}

/// Says whether containers are nested deeper than a limit; the depth of what was parsed is bounded.
fn is_deeper(value: &Value, limit: usize) -> bool {
    let mut inner: Box<dyn Iterator<Item = &Value>> = match value {
        Value::Object(object) => Box::new(object.values()),
        Value::Array(items) => Box::new(items.iter()),
        _ => return false,
    };
    limit == 0 || inner.any(|value| is_deeper(value, limit - 1))
}

fn problem(error: &ValidationError<'_>) -> Problem {
    Problem::new(error.instance_path().as_str(), error.kind().keyword(), expected(error.kind()))
}

/// What a keyword wants, told from the schema alone.
fn expected(kind: &ValidationErrorKind) -> String {
    use ValidationErrorKind as Kind;
    match kind {
        Kind::Type { kind: TypeKind::Single(single) } => single.to_string(),
        Kind::Type { kind: TypeKind::Multiple(several) } => several.iter().map(|one| one.to_string()).collect::<Vec<_>>().join(" | "),
        Kind::Required { property } => property.as_str().map_or_else(|| property.to_string(), str::to_owned),
        Kind::Enum { options } => match options.as_array() {
            Some(options) => options.iter().map(ToString::to_string).collect::<Vec<_>>().join(" | "),
            None => options.to_string(),
        },
        Kind::Constant { expected_value } => expected_value.to_string(),
        Kind::Minimum { limit } => format!("at least {limit}"),
        Kind::Maximum { limit } => format!("at most {limit}"),
        Kind::ExclusiveMinimum { limit } => format!("more than {limit}"),
        Kind::ExclusiveMaximum { limit } => format!("less than {limit}"),
        Kind::MultipleOf { multiple_of } => format!("a multiple of {multiple_of}"),
        Kind::MinLength { limit } => format!("at least {limit} characters"),
        Kind::MaxLength { limit } => format!("at most {limit} characters"),
        Kind::MinItems { limit } => format!("at least {limit} items"),
        Kind::MaxItems { limit } => format!("at most {limit} items"),
        Kind::MinProperties { limit } => format!("at least {limit} properties"),
        Kind::MaxProperties { limit } => format!("at most {limit} properties"),
        Kind::AdditionalItems { limit } => format!("no more than {limit} items"),
        Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } => {
            format!("no property {}", quoted(unexpected))
        }
        Kind::UnevaluatedItems { .. } => "no more items".to_owned(),
        Kind::Pattern { pattern } => format!("text that matches {pattern}"),
        Kind::Format { format } => format!("text in the format {format}"),
        Kind::AnyOf { context } => format!("one of {} alternatives", context.len()),
        Kind::OneOfNotValid { context } => format!("exactly one of {} alternatives", context.len()),
        Kind::OneOfMultipleValid { .. } => "only one of the alternatives".to_owned(),
        Kind::PropertyNames { error } => format!("property names: {}", expected(error.kind())),
        Kind::Not { .. } => "a value that the schema does not exclude".to_owned(),
        Kind::UniqueItems => "items that differ from each other".to_owned(),
        Kind::Contains => "an item of the kind the schema asks for".to_owned(),
        Kind::FalseSchema => "nothing at this place".to_owned(),
        Kind::ContentEncoding { content_encoding } => format!("text encoded as {content_encoding}"),
        Kind::ContentMediaType { content_media_type } => {
            format!("content of type {content_media_type}")
        }
        Kind::Custom { .. }
        | Kind::FromUtf8 { .. }
        | Kind::BacktrackLimitExceeded { .. }
        | Kind::RegexEngineFailure { .. }
        | Kind::Referencing(_) => "a value that the schema accepts".to_owned(),
    }
}

fn quoted(names: &[String]) -> String {
    names.iter().take(5).map(|name| format!("`{}`", shorten(name.clone()))).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
