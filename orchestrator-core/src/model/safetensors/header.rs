//! The header of one safetensors file.

use std::collections::HashSet;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::error::{SafetensorsError, bad_json, check_limit, shown};

/// How much the documents of a model may ask for; the defaults leave an order of magnitude above the largest published
/// models.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SafetensorsLimits {
    /// Bytes of a file's header. The format itself allows 100 MB.
    pub header_bytes: u64,
    /// Tensors in one file, and in the index of several.
    pub tensors: u64,
    /// Bytes of a tensor's name.
    pub name_bytes: u64,
    /// Dimensions of a tensor.
    pub dimensions: u64,
    /// Bytes of the index.
    pub index_bytes: u64,
    /// Files of a model.
    pub files: u64,
    /// Bytes of `config.json`.
    pub config_bytes: u64,
}

impl Default for SafetensorsLimits {
    fn default() -> Self {
        Self {
            header_bytes: 100_000_000,
            tensors: 262_144,
            name_bytes: 4096,
            dimensions: 16,
            index_bytes: 64 << 20,
            files: 4096,
            config_bytes: 2 << 20,
        }
    }
}

/// How a tensor's numbers are stored.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SafetensorsDtype(String);

/// The types of the format, with the bits of one number.
const TYPES: [(&str, u64); 22] = [
    ("F4", 4),
    ("F6_E2M3", 6),
    ("F6_E3M2", 6),
    ("BOOL", 8),
    ("U8", 8),
    ("I8", 8),
    ("F8_E5M2", 8),
    ("F8_E4M3", 8),
    ("F8_E8M0", 8),
    ("F8_E4M3FNUZ", 8),
    ("F8_E5M2FNUZ", 8),
    ("I16", 16),
    ("U16", 16),
    ("F16", 16),
    ("BF16", 16),
    ("I32", 32),
    ("U32", 32),
    ("F32", 32),
    ("C64", 64),
    ("F64", 64),
    ("I64", 64),
    ("U64", 64),
];

impl SafetensorsDtype {
    /// Returns the name as it stands in the file, such as `BF16`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0
    }

    /// Returns the bits of one number, or `None` for a type that is not in our table.
    #[must_use]
    pub fn bits(&self) -> Option<u64> {
        TYPES.iter().find(|(name, _)| *name == self.0).map(|(_, bits)| *bits)
    }
}

impl fmt::Display for SafetensorsDtype {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// A tensor's entry in the header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SafetensorsTensor {
    /// The tensor's name, unique in its file.
    pub name: String,
    /// How its numbers are stored.
    pub dtype: SafetensorsDtype,
    /// Its dimensions, the contiguous one last.
    pub shape: Vec<u64>,
    /// Where its bytes begin, counted from the end of the header.
    pub offset: u64,
    /// How many bytes it has.
    pub bytes: u64,
}

impl SafetensorsTensor {
    /// Returns how many numbers it holds.
    #[must_use]
    pub fn parameters(&self) -> u64 {
        self.shape.iter().fold(1, |product, dimension| product.saturating_mul(*dimension))
    }
}

/// What a safetensors file says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SafetensorsHeader {
    /// The tensors, in the order of their bytes.
    pub tensors: Vec<SafetensorsTensor>,
    /// Where their data begins, in bytes from the file's start.
    pub data_offset: u64,
    /// The size of the file, in bytes.
    pub file_bytes: u64,
}

impl SafetensorsHeader {
    /// Reads the header of the file at `path`, with the default limits. Blocks.
    pub fn read(path: &Path) -> Result<Self, SafetensorsError> {
        let unreadable = |source| SafetensorsError::Unreadable { source };
        let found = std::fs::metadata(path).map_err(unreadable)?;
        if !found.is_file() {
            return Err(unreadable(std::io::Error::other("it is not a regular file")));
        }
        let file = File::open(path).map_err(unreadable)?;
        let file_bytes = file.metadata().map_err(unreadable)?.len();
        Self::read_from(file, file_bytes, &SafetensorsLimits::default())
    }

    /// Reads the header from `input`, which stands at the beginning of a file of `file_bytes` bytes. No more than the
    /// header is read.
    pub fn read_from<R: Read>(mut input: R, file_bytes: u64, limits: &SafetensorsLimits) -> Result<Self, SafetensorsError> {
        const LENGTH_BYTES: u64 = 8;
        let unreadable = |source| SafetensorsError::Unreadable { source };
        let remaining = file_bytes.checked_sub(LENGTH_BYTES).ok_or(SafetensorsError::TooShort { file_bytes })?;
        let mut length = [0; 8];
        input.read_exact(&mut length).map_err(unreadable)?;
        let claimed = u64::from_le_bytes(length);
        check_limit("the header", claimed, "bytes", limits.header_bytes)?;
        if claimed > remaining {
            return Err(SafetensorsError::HeaderCutOff { claimed, remaining });
        }
        // Grows with what really comes, not with what was claimed.
        let mut header = Vec::new();
        input.take(claimed).read_to_end(&mut header).map_err(unreadable)?;
        if (header.len() as u64) < claimed {
            return Err(SafetensorsError::HeaderCutOff { claimed, remaining: header.len() as u64 });
        }
        if header.first() != Some(&b'{') {
            return Err(SafetensorsError::NotSafetensors);
        }
        let mut tensors = parse(&header, limits)?;
        let data_bytes = remaining - claimed;
        check_places(&mut tensors, data_bytes)?;
        Ok(Self { tensors, data_offset: LENGTH_BYTES + claimed, file_bytes })
    }

    /// Returns the bytes of all tensors.
    #[must_use]
    pub fn weights_bytes(&self) -> u64 {
        self.tensors.iter().fold(0, |sum, tensor| sum.saturating_add(tensor.bytes))
    }
}

fn parse(header: &[u8], limits: &SafetensorsLimits) -> Result<Vec<SafetensorsTensor>, SafetensorsError> {
    let mut reader = serde_json::Deserializer::from_slice(header);
    let parsed = HeaderSeed { limits }.deserialize(&mut reader);
    let tensors = parsed.map_err(|error| bad_json("the header", &error))?;
    reader.end().map_err(|error| bad_json("the header", &error))?;
    Ok(tensors)
}

/// Sorts the tensors by their bytes and checks that these fill the data.
fn check_places(tensors: &mut [SafetensorsTensor], data_bytes: u64) -> Result<(), SafetensorsError> {
    tensors.sort_by_key(|tensor| (tensor.offset, tensor.bytes));
    let mut expected: u64 = 0;
    for tensor in tensors.iter() {
        if tensor.offset != expected {
            return Err(SafetensorsError::NotContiguous { tensor: shown(&tensor.name), offset: tensor.offset, expected });
        }
        check_size(tensor)?;
        // Both came from one pair of offsets that were compared.
        expected = expected.saturating_add(tensor.bytes);
    }
    if expected == data_bytes { Ok(()) } else { Err(SafetensorsError::WrongLength { needed: expected, found: data_bytes }) }
}

fn check_size(tensor: &SafetensorsTensor) -> Result<(), SafetensorsError> {
    let Some(bits) = tensor.dtype.bits() else { return Ok(()) };
    let product = tensor.shape.iter().try_fold(bits, |product, dimension| product.checked_mul(*dimension));
    let expected = product.filter(|product| product % 8 == 0).map(|product| product / 8);
    if expected == Some(tensor.bytes) {
        return Ok(());
    }
    let expected = expected.map_or_else(|| "too many or a part of".to_owned(), |bytes| bytes.to_string());
    Err(SafetensorsError::BadSize { tensor: shown(&tensor.name), expected, found: tensor.bytes })
}

/// Reads the document as it comes, so that nothing is kept that is over a limit.
struct HeaderSeed<'a> {
    limits: &'a SafetensorsLimits,
}

impl<'de> DeserializeSeed<'de> for HeaderSeed<'_> {
    type Value = Vec<SafetensorsTensor>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for HeaderSeed<'_> {
    type Value = Vec<SafetensorsTensor>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the tensors by their names")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut tensors: Vec<SafetensorsTensor> = Vec::new();
        let mut names: HashSet<String> = HashSet::new();
        while let Some(name) = map.next_key::<String>()? {
            if name.len() as u64 > self.limits.name_bytes {
                return Err(A::Error::custom(format_args!("a name is longer than {} bytes", self.limits.name_bytes)));
            }
            if !names.insert(name.clone()) {
                return Err(A::Error::custom(format_args!("{} is there twice", shown(&name))));
            }
            if name == "__metadata__" {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            if tensors.len() as u64 >= self.limits.tensors {
                return Err(A::Error::custom(format_args!("there are more than {} tensors", self.limits.tensors)));
            }
            let tensor = map.next_value_seed(TensorSeed { name, dimensions: self.limits.dimensions })?;
            tensors.push(tensor);
        }
        Ok(tensors)
    }
}

struct TensorSeed {
    name: String,
    dimensions: u64,
}

impl<'de> DeserializeSeed<'de> for TensorSeed {
    type Value = SafetensorsTensor;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for TensorSeed {
    type Value = SafetensorsTensor;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a tensor with `dtype`, `shape` and `data_offsets`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut dtype, mut shape, mut offsets) = (None, None, None);
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "dtype" => dtype = Some(map.next_value::<String>()?),
                "shape" => shape = Some(map.next_value_seed(NumbersSeed { most: self.dimensions })?),
                "data_offsets" => offsets = Some(map.next_value::<(u64, u64)>()?),
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        let name = self.name;
        let (Some(dtype), Some(shape), Some((begin, end))) = (dtype, shape, offsets) else {
            return Err(A::Error::custom(format_args!("{} lacks `dtype`, `shape` or `data_offsets`", shown(&name))));
        };
        if dtype.is_empty() || dtype.len() > 32 || !dtype.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            return Err(A::Error::custom(format_args!("{} has no type that could be one", shown(&name))));
        }
        let Some(bytes) = end.checked_sub(begin) else {
            return Err(A::Error::custom(format_args!("{} ends before it begins", shown(&name))));
        };
        Ok(SafetensorsTensor { name, dtype: SafetensorsDtype(dtype), shape, offset: begin, bytes })
    }
}

/// Reads a list of at most so many numbers.
struct NumbersSeed {
    most: u64,
}

impl<'de> DeserializeSeed<'de> for NumbersSeed {
    type Value = Vec<u64>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for NumbersSeed {
    type Value = Vec<u64>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "at most {} dimensions", self.most)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut numbers = Vec::new();
        while let Some(number) = list.next_element::<u64>()? {
            if numbers.len() as u64 >= self.most {
                return Err(A::Error::custom(format_args!("there are more than {} dimensions", self.most)));
            }
            numbers.push(number);
        }
        Ok(numbers)
    }
}
