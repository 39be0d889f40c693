//! What the gateway reads in a request: the name of the model, found in one look without building a tree. And the
//! one change it may make: the fields an instance's configuration sets or strips.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use orchestrator_core::error::Coded;
use orchestrator_core::instance::spec::RequestSpec;
use orchestrator_core::{ErrorCode, Problem};
use serde::de::{self, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::error::Category;
use serde_json::value::RawValue;

/// Why a request's body says no model.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum BodyError {
    /// It is no JSON.
    #[error("the request's body is no JSON, at line {line} column {column}: {detail}")]
    NotJson {
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
        /// What is wrong there.
        detail: String,
    },
    /// It is JSON of another shape.
    #[error("the request's body is not what it should be: {detail}")]
    Shape {
        /// What is wrong with it.
        detail: String,
    },
    /// It is empty.
    #[error("the request has no body")]
    Empty,
    /// It has no `model`.
    #[error("the request names no model")]
    NoModel,
}

impl Coded for BodyError {
    fn code(&self) -> ErrorCode {
        ErrorCode::RequestInvalid
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NotJson { .. } | Self::Empty => Some("send one JSON object, with `Content-Type: application/json`".to_owned()),
            Self::Shape { .. } => Some("send one JSON object with one `model`, a text".to_owned()),
            Self::NoModel => Some("add `\"model\": \"NAME\"` to the body; `GET /v1/models` lists the names".to_owned()),
        }
    }
}

/// What is looked for; all other fields are skipped as they are read. A second model is refused.
struct Head<'a> {
    model: Option<Text<'a>>,
    offers_tools: bool,
}

impl<'de> Deserialize<'de> for Head<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // By hand: a derived one would take an array of its fields too.
        deserializer.deserialize_map(HeadVisitor)
    }
}

struct HeadVisitor;

impl<'de> Visitor<'de> for HeadVisitor {
    type Value = Head<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with a `model`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Head<'de>, A::Error> {
        let mut model = None;
        let mut offers_tools = false;
        while let Some(name) = fields.next_key::<Text<'de>>()? {
            if name.0 != "model" {
                offers_tools |= name.0 == "tools";
                fields.next_value::<IgnoredAny>()?;
            } else if model.is_some() {
                return Err(de::Error::duplicate_field("model"));
            } else {
                model = Some(fields.next_value::<Option<Text<'de>>>()?);
            }
        }
        Ok(Head { model: model.flatten(), offers_tools })
    }
}

/// A text that is borrowed from the body wherever it holds no escapes.
struct Text<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TextVisitor)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Owned(text.to_owned())))
    }
}

/// What a request's body says of where it is to go.
#[derive(Debug)]
pub(super) struct Asked<'a> {
    /// The name of the model.
    pub(super) model: Cow<'a, str>,
    /// Whether there is a field `tools`.
    pub(super) offers_tools: bool,
}

/// Finds the name of the model in a request's body, and whether it offers tools.
pub(super) fn head_of(body: &[u8]) -> Result<Asked<'_>, BodyError> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Err(BodyError::Empty);
    }
    let head: Head<'_> = serde_json::from_slice(body).map_err(|error| describe(&error))?;
    let model = head.model.map(|text| text.0).filter(|model| !model.is_empty()).ok_or(BodyError::NoModel)?;
    Ok(Asked { model, offers_tools: head.offers_tools })
}

/// Says what is wrong with a body that cannot be read.
pub(super) fn describe(error: &serde_json::Error) -> BodyError {
    // serde puts the position at the end of its text; we say it in front. Control bytes never reach a reader.
    let text = error.to_string();
    let detail = text.rsplit_once(" at line ").map_or(text.as_str(), |(detail, _)| detail).escape_debug().to_string();
    match error.classify() {
        Category::Data => BodyError::Shape { detail },
        Category::Syntax | Category::Eof | Category::Io => BodyError::NotJson { line: error.line(), column: error.column(), detail },
    }
}

/// Sets and strips the fields that the instance's configuration names.
pub(super) fn rewrite(body: &Bytes, changes: &RequestSpec) -> Result<Bytes, Problem> {
    let mut fields: BTreeMap<Cow<'_, str>, Cow<'_, RawValue>> = serde_json::from_slice::<BTreeMap<Cow<'_, str>, &RawValue>>(body)
        .map(|fields| fields.into_iter().map(|(name, value)| (name, Cow::Borrowed(value))).collect())
        .map_err(|error| describe(&error))?;
    for name in &changes.strip {
        fields.remove(name.as_str());
    }
    let unwritable = |source: serde_json::Error| {
        Problem::new(ErrorCode::Internal, "could not write the changed body of a request").with_cause(source.to_string())
    };
    for (name, value) in &changes.set {
        let value = serde_json::value::to_raw_value(value).map_err(unwritable)?;
        fields.insert(Cow::Borrowed(name), Cow::Owned(value));
    }
    serde_json::to_vec(&fields).map(Bytes::from).map_err(unwritable)
}

#[cfg(test)]
mod tests;
