//! Models: references to them, what is known about installed ones, and the file formats that hold them.

pub mod demo;
pub mod gguf;
pub mod reference;

pub use reference::{ModelReference, ModelReferenceError};

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The file format of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ModelFormat {
    /// llama.cpp's single-file format.
    Gguf,
    /// A folder with a `config.json` and safetensors files.
    Safetensors,
}

/// A model that is on this machine and was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InstalledModel {
    /// The reference it was asked for by.
    pub reference: ModelReference,
    /// The file, or the first of several.
    pub path: PathBuf,
    /// Its format.
    pub format: ModelFormat,
    /// The name the file gives itself.
    pub name: Option<String>,
    /// The architecture, such as `llama` or `qwen3`.
    pub architecture: String,
    /// The quantisation, such as `Q4_K_M`.
    pub quantisation: Option<String>,
    /// The longest context the model was trained for, in tokens.
    pub context_length: Option<u64>,
    /// How many weights it has.
    pub parameters: u64,
    /// The bytes of all its files.
    pub size_bytes: u64,
    /// Whether it carries a chat template.
    pub has_chat_template: bool,
}
