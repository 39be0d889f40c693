//! `model.safetensors.index.json`: which tensor is in which of several files.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::Read;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};

use super::SafetensorsLimits;
use super::error::{SafetensorsError, bad_json, check_limit, shown};

/// Which tensor is in which file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SafetensorsIndex {
    /// The file of every tensor, by the tensor's name. File names are plain: they have no folders.
    pub weight_map: BTreeMap<String, String>,
}

impl SafetensorsIndex {
    /// The name under which the index lies beside its files.
    pub const FILE_NAME: &str = "model.safetensors.index.json";

    /// Reads an index from `input`, to its end.
    pub fn read_from<R: Read>(input: R, limits: &SafetensorsLimits) -> Result<Self, SafetensorsError> {
        let bytes = read_document(input, "the index", limits.index_bytes)?;
        let mut reader = serde_json::Deserializer::from_slice(&bytes);
        let weight_map = IndexSeed { limits }.deserialize(&mut reader).map_err(|error| bad_json("the index", &error))?;
        reader.end().map_err(|error| bad_json("the index", &error))?;
        let index = Self { weight_map };
        let files = index.files();
        check_limit("the index", files.len() as u64, "files", limits.files)?;
        if let Some(name) = files.iter().find(|name| !is_plain_name(name)) {
            return Err(SafetensorsError::BadFileName { name: shown(name) });
        }
        Ok(index)
    }

    /// Returns the files, in the order of their names.
    #[must_use]
    pub fn files(&self) -> BTreeSet<&str> {
        self.weight_map.values().map(String::as_str).collect()
    }
}

/// Reads a whole document of a bounded length.
pub(super) fn read_document<R: Read>(input: R, what: &'static str, limit: u64) -> Result<Vec<u8>, SafetensorsError> {
    let mut bytes = Vec::new();
    let mut bounded = input.take(limit.saturating_add(1));
    bounded.read_to_end(&mut bytes).map_err(|source| SafetensorsError::Unreadable { source })?;
    check_limit(what, bytes.len() as u64, "bytes or more", limit)?;
    Ok(bytes)
}

/// Says whether a name is that of a file in the same folder, on every system.
fn is_plain_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'+' | b'=');
    name.len() <= 255 && !name.starts_with('.') && name.ends_with(".safetensors") && name.bytes().all(allowed)
}

struct IndexSeed<'a> {
    limits: &'a SafetensorsLimits,
}

impl<'de> DeserializeSeed<'de> for IndexSeed<'_> {
    type Value = BTreeMap<String, String>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for IndexSeed<'_> {
    type Value = BTreeMap<String, String>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an index with a `weight_map`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut weight_map = None;
        while let Some(key) = map.next_key::<String>()? {
            if key == "weight_map" {
                weight_map = Some(map.next_value_seed(WeightMapSeed { limits: self.limits })?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        weight_map.ok_or_else(|| A::Error::custom("there is no `weight_map`"))
    }
}

struct WeightMapSeed<'a> {
    limits: &'a SafetensorsLimits,
}

impl<'de> DeserializeSeed<'de> for WeightMapSeed<'_> {
    type Value = BTreeMap<String, String>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for WeightMapSeed<'_> {
    type Value = BTreeMap<String, String>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("file names by the names of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut files = BTreeMap::new();
        while let Some((tensor, file)) = map.next_entry::<String, String>()? {
            if tensor.len() as u64 > self.limits.name_bytes {
                return Err(A::Error::custom(format_args!("a name is longer than {} bytes", self.limits.name_bytes)));
            }
            if files.len() as u64 >= self.limits.tensors {
                return Err(A::Error::custom(format_args!("there are more than {} tensors", self.limits.tensors)));
            }
            let shown_name = shown(&tensor);
            if files.insert(tensor, file).is_some() {
                return Err(A::Error::custom(format_args!("{shown_name} is there twice")));
            }
        }
        Ok(files)
    }
}
