//! Manifests of the registry: what belongs to a model, read with bounds.
//!
//! Owns: which manifests are taken, and the words when one is not. Does not own: fetching or keeping them.
//!
//! A manifest comes from outside: its length, the number of its parts, their sizes and the sum of them have limits, and
//! a digest is nothing but 64 hexadecimal digits before it becomes a file's name.

use std::collections::HashMap;

use orchestrator_core::model::{FileRole, Sha256Digest};
use serde::Deserialize;

/// The longest manifest that is read, in bytes.
pub const LONGEST: usize = 1024 * 1024;
/// The most parts a manifest may name.
const MOST_LAYERS: usize = 256;
/// The largest part that is no weights, in bytes.
const LARGEST_TEXT: u64 = 4 * 1024 * 1024;
/// The largest model that is believed, in bytes.
const LARGEST_TOTAL: u64 = 16 * 1024 * 1024 * 1024 * 1024;
/// What the types of a model's parts begin with.
const PREFIX: &str = "application/vnd.ollama.image.";
/// How much of a text that comes from outside is shown.
const SHOWN: usize = 80;

/// A manifest that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// It is longer than any honest one.
    #[error("its manifest is longer than {LONGEST} bytes")]
    TooLong,
    /// It is no JSON, or of another shape.
    #[error("its manifest cannot be read: {detail}")]
    Unreadable {
        /// What is wrong.
        detail: String,
    },
    /// It is of another version.
    #[error("its manifest has the version {version}, and 2 is understood")]
    Version {
        /// The version it names.
        version: u64,
    },
    /// It is something else than a manifest of one model.
    #[error("its manifest is of the type `{media_type}`")]
    Kind {
        /// The type it names.
        media_type: String,
    },
    /// It names more parts than any honest one.
    #[error("its manifest names {count} parts, more than {MOST_LAYERS}")]
    TooManyParts {
        /// How many.
        count: usize,
    },
    /// A part has no usable digest.
    #[error("a part of its manifest has no usable digest: {detail}")]
    Digest {
        /// What is wrong with it.
        detail: String,
    },
    /// A part has an impossible size.
    #[error("the part `{part}` of its manifest claims {size} bytes")]
    Size {
        /// The part's type.
        part: String,
        /// The size it claims.
        size: u64,
    },
    /// One digest stands for different things.
    #[error("its manifest names the digest {digest} for different parts")]
    Contradiction {
        /// The digest.
        digest: Sha256Digest,
    },
    /// It has weights in a format that no engine here reads.
    #[error("its weights are {what}, not a GGUF file")]
    Format {
        /// What they are.
        what: &'static str,
    },
    /// It is an adapter for another model.
    #[error("it is an adapter, which changes another model's weights; that is not supported")]
    Adapter,
    /// Its weights are in several files.
    #[error("its manifest names {count} files of {what}, and one is understood")]
    Several {
        /// How many.
        count: usize,
        /// Of what.
        what: &'static str,
    },
    /// It has a part that is unknown, and too large to be a setting.
    #[error("it has a part of the unknown type `{media_type}`")]
    UnknownPart {
        /// The type.
        media_type: String,
    },
    /// It has no weights at all.
    #[error("there are no weights in it; it may be a model that runs on Ollama's own machines only")]
    NoWeights,
}

impl ManifestError {
    /// Says what to do.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Format { .. } | Self::NoWeights => {
                "choose a tag whose weights can be fetched as GGUF; tags that end with `-mlx` or `cloud` cannot"
            }
            Self::Adapter | Self::Several { .. } => "run it with Ollama itself, or choose another tag",
            Self::UnknownPart { .. } | Self::Version { .. } | Self::Kind { .. } => "a newer version of this program may understand it",
            Self::TooLong
            | Self::Unreadable { .. }
            | Self::TooManyParts { .. }
            | Self::Digest { .. }
            | Self::Size { .. }
            | Self::Contradiction { .. } => "the registry is damaged, or something between us and it changes what it says",
        }
        .to_owned()
    }
}

/// What a part of a model is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PartKind {
    /// The weights, a GGUF file.
    Weights,
    /// What lets the model see pictures, a GGUF file.
    Projector,
    /// The template of a prompt, in the language of Go's templates.
    Template,
    /// What the model is told before anything else.
    System,
    /// Parameters, as JSON.
    Parameters,
    /// The text of a licence.
    Licence,
    /// Messages that come before those of a chat, as JSON.
    Messages,
    /// What the model is made of, as JSON.
    Configuration,
    /// Something small that is kept and not understood.
    Other,
}

impl PartKind {
    /// Returns what a file of this kind is for.
    #[must_use]
    pub const fn role(self) -> FileRole {
        match self {
            Self::Weights => FileRole::Weights,
            Self::Projector => FileRole::Projector,
            Self::Licence => FileRole::Licence,
            Self::Template | Self::System | Self::Parameters | Self::Messages | Self::Configuration | Self::Other => {
                FileRole::Configuration
            }
        }
    }

    /// Returns the kind in a word, as files are named by it where people see them.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Weights => "model",
            Self::Projector => "projector",
            Self::Template => "template",
            Self::System => "system",
            Self::Parameters => "params",
            Self::Licence => "license",
            Self::Messages => "messages",
            Self::Configuration => "config",
            Self::Other => "other",
        }
    }
}

/// A part of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// What it is.
    pub kind: PartKind,
    /// What its content is.
    pub digest: Sha256Digest,
    /// Its length in bytes.
    pub size_bytes: u64,
}

/// A manifest that can be used: one file of weights, and what belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Every part once, the weights first.
    pub parts: Vec<Part>,
}

#[derive(Deserialize)]
struct WireManifest {
    #[serde(rename = "schemaVersion")]
    version: u64,
    #[serde(rename = "mediaType", default)]
    media_type: String,
    #[serde(default)]
    config: Option<WireLayer>,
    #[serde(default)]
    layers: Option<Vec<WireLayer>>,
}

#[derive(Deserialize)]
struct WireLayer {
    #[serde(rename = "mediaType", default)]
    media_type: String,
    #[serde(default)]
    digest: String,
    size: u64,
}

impl Manifest {
    /// Reads a manifest.
    ///
    /// # Errors
    /// Fails when it is no manifest of version 2 with one file of GGUF weights, or claims what cannot be.
    pub fn read(bytes: &[u8]) -> Result<Self, ManifestError> {
        if bytes.len() > LONGEST {
            return Err(ManifestError::TooLong);
        }
        let wire: WireManifest =
            serde_json::from_slice(bytes).map_err(|error| ManifestError::Unreadable { detail: shown(&error.to_string()) })?;
        if wire.version != 2 {
            return Err(ManifestError::Version { version: wire.version });
        }
        let known = ["", "application/vnd.docker.distribution.manifest.v2+json", "application/vnd.oci.image.manifest.v1+json"];
        if !known.contains(&wire.media_type.as_str()) {
            return Err(ManifestError::Kind { media_type: shown(&wire.media_type) });
        }
        let layers = wire.layers.unwrap_or_default();
        if let Some(what) = layers.iter().find_map(|layer| foreign_weights(&layer.media_type)) {
            return Err(ManifestError::Format { what });
        }
        if layers.len() > MOST_LAYERS {
            return Err(ManifestError::TooManyParts { count: layers.len() });
        }
        let mut parts: Vec<Part> = layers.iter().map(read_layer).collect::<Result<_, _>>()?;
        if let Some(layer) = &wire.config {
            parts.push(checked(PartKind::Configuration, layer)?);
        }
        let parts = without_twins(parts)?;
        one_or_none(&parts, PartKind::Projector, "projectors")?;
        if !one_or_none(&parts, PartKind::Weights, "weights")? {
            return Err(ManifestError::NoWeights);
        }
        let total = parts.iter().try_fold(0_u64, |sum, part| sum.checked_add(part.size_bytes)).unwrap_or(u64::MAX);
        if total > LARGEST_TOTAL {
            return Err(ManifestError::Size { part: "all of them".to_owned(), size: total });
        }
        Ok(Self::sorted(parts))
    }

    fn sorted(mut parts: Vec<Part>) -> Self {
        let rank = |part: &Part| match part.kind {
            PartKind::Weights => 0,
            PartKind::Projector => 1,
            _ => 2,
        };
        parts.sort_by_key(rank);
        Self { parts }
    }

    /// Returns the first part of a kind.
    #[must_use]
    pub fn part(&self, kind: PartKind) -> Option<&Part> {
        self.parts.iter().find(|part| part.kind == kind)
    }

    /// Returns the bytes of all parts.
    #[must_use]
    pub fn total_bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.size_bytes).fold(0, u64::saturating_add)
    }
}

/// Says whether a part is weights in a format of another engine.
fn foreign_weights(media_type: &str) -> Option<&'static str> {
    let kind = media_type.split(';').next().unwrap_or_default().trim();
    match kind.strip_prefix(PREFIX)? {
        "tensor" => Some("safetensors in many parts"),
        "safetensors" => Some("safetensors"),
        _ => None,
    }
}

fn read_layer(layer: &WireLayer) -> Result<Part, ManifestError> {
    let kind = layer.media_type.split(';').next().unwrap_or_default().trim();
    let unknown = || ManifestError::UnknownPart { media_type: shown(&layer.media_type) };
    let kind = match kind.strip_prefix(PREFIX).ok_or_else(unknown)? {
        "model" => PartKind::Weights,
        "projector" => PartKind::Projector,
        "template" | "prompt" => PartKind::Template,
        "system" => PartKind::System,
        "params" => PartKind::Parameters,
        "license" => PartKind::Licence,
        "messages" => PartKind::Messages,
        "config" => PartKind::Configuration,
        "adapter" => return Err(ManifestError::Adapter),
        _ if layer.size > LARGEST_TEXT => return Err(unknown()),
        _ => PartKind::Other,
    };
    checked(kind, layer)
}

fn checked(kind: PartKind, layer: &WireLayer) -> Result<Part, ManifestError> {
    // Only the form with its name in front: anything else is no digest of a registry.
    let digest = match layer.digest.strip_prefix("sha256:") {
        Some(_) => Sha256Digest::try_new(&layer.digest).map_err(|error| ManifestError::Digest { detail: error.to_string() })?,
        None => return Err(ManifestError::Digest { detail: format!("`{}` is no SHA-256", shown(&layer.digest)) }),
    };
    let largest = if matches!(kind, PartKind::Weights | PartKind::Projector) { LARGEST_TOTAL } else { LARGEST_TEXT };
    if layer.size > largest || (layer.size == 0 && largest == LARGEST_TOTAL) {
        return Err(ManifestError::Size { part: kind.as_str().to_owned(), size: layer.size });
    }
    Ok(Part { kind, digest, size_bytes: layer.size })
}

/// Keeps one of parts that are the same, such as a licence that is named twice.
fn without_twins(parts: Vec<Part>) -> Result<Vec<Part>, ManifestError> {
    let mut sizes: HashMap<Sha256Digest, u64> = HashMap::new();
    let mut kept: Vec<Part> = Vec::new();
    for part in parts {
        let size = *sizes.entry(part.digest.clone()).or_insert(part.size_bytes);
        if size != part.size_bytes {
            return Err(ManifestError::Contradiction { digest: part.digest });
        }
        if !kept.contains(&part) {
            kept.push(part);
        }
    }
    Ok(kept)
}

fn one_or_none(parts: &[Part], kind: PartKind, what: &'static str) -> Result<bool, ManifestError> {
    match parts.iter().filter(|part| part.kind == kind).count() {
        0 => Ok(false),
        1 => Ok(true),
        count => Err(ManifestError::Several { count, what }),
    }
}

/// Returns a text that comes from outside as it can be shown.
fn shown(text: &str) -> String {
    text.chars().take(SHOWN).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests;
