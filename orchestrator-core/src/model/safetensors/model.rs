//! A whole model: its configuration and the headers of all its files.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::error::{SafetensorsError, shown};
use super::{SafetensorsHeader, SafetensorsIndex, TransformersConfig};

/// A file of a model, by its header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SafetensorsFile {
    /// Its name in the model's folder.
    pub name: String,
    /// Its header.
    pub header: SafetensorsHeader,
}

/// What was read of a safetensors model without its weights.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SafetensorsModel {
    /// What its `config.json` says.
    pub config: TransformersConfig,
    /// Its files.
    pub files: Vec<SafetensorsFile>,
}

impl SafetensorsModel {
    /// Puts a model together. Refuses files that lack a tensor which the index, where there is one, says they have.
    pub fn try_new(
        config: TransformersConfig,
        files: Vec<SafetensorsFile>,
        index: Option<&SafetensorsIndex>,
    ) -> Result<Self, SafetensorsError> {
        if let Some(index) = index {
            let names = |file: &'_ SafetensorsFile| file.header.tensors.iter().map(|tensor| tensor.name.clone()).collect::<HashSet<_>>();
            let held: HashMap<&str, HashSet<String>> = files.iter().map(|file| (file.name.as_str(), names(file))).collect();
            let is_there = |tensor: &str, file: &str| held.get(file).is_some_and(|tensors| tensors.contains(tensor));
            if let Some((tensor, file)) = index.weight_map.iter().find(|(tensor, file)| !is_there(tensor, file)) {
                return Err(SafetensorsError::MissingTensor { tensor: shown(tensor), file: shown(file) });
            }
        }
        Ok(Self { config, files })
    }

    /// Returns the bytes of all tensors.
    #[must_use]
    pub fn weights_bytes(&self) -> u64 {
        self.files.iter().fold(0, |sum, file| sum.saturating_add(file.header.weights_bytes()))
    }

    /// Returns how many numbers all tensors hold. Packed ones, as of a quantised model, count as they are stored.
    #[must_use]
    pub fn parameter_count(&self) -> u64 {
        let tensors = self.files.iter().flat_map(|file| &file.header.tensors);
        tensors.fold(0, |sum, tensor| sum.saturating_add(tensor.parameters()))
    }

    /// Returns how it is quantised: what the configuration says, else the type that most of its bytes have.
    #[must_use]
    pub fn quantisation(&self) -> Option<String> {
        self.config.quantisation.clone().map(|method| method.to_uppercase()).or_else(|| {
            let mut bytes_by_type: BTreeMap<&str, u64> = BTreeMap::new();
            for tensor in self.files.iter().flat_map(|file| &file.header.tensors) {
                let bytes = bytes_by_type.entry(tensor.dtype.name()).or_default();
                *bytes = bytes.saturating_add(tensor.bytes);
            }
            bytes_by_type.into_iter().max_by_key(|(_, bytes)| *bytes).map(|(name, _)| name.to_owned())
        })
    }

    /// Returns the architecture, such as `llama`: the family, else the class that can run it.
    #[must_use]
    pub fn architecture(&self) -> Option<&str> {
        self.config.model_type.as_deref().or_else(|| self.config.architectures.first().map(String::as_str))
    }
}
