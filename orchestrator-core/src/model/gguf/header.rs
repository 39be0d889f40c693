//! Reading a header: the public entry points and the parser behind them.

use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File};
use std::io::{ErrorKind, Read, Seek};
use std::path::Path;

use super::cursor::{Cursor, check_limit, value_of};
use super::error::{GgufError, shown};
use super::layout::{self, TensorEntry};
use super::{ALIGNMENT_KEY, DEFAULT_ALIGNMENT, FoundInstead, GgufArray, GgufLimits, GgufTensor, GgufValue, GgufValueType, MAGIC};

/// What a GGUF file says about itself.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct GgufHeader {
    /// The version of the format: 2 or 3.
    pub version: u32,
    /// The metadata by key. Long arrays and arrays of text have only their type and length.
    pub metadata: BTreeMap<String, GgufValue>,
    /// The tensors, in the file's order.
    pub tensors: Vec<GgufTensor>,
    /// Where tensor data begins, in bytes from the file's start.
    pub data_offset: u64,
    /// What tensor offsets are multiples of, in bytes.
    pub alignment: u32,
    /// The size of the file, in bytes.
    pub file_bytes: u64,
}

/// How much there is of a file, and how much of that is at hand (a remote file may have only its beginning here).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GgufExtent {
    /// The size of the whole file, in bytes.
    pub file_bytes: u64,
    /// How many bytes from the file's start the input holds.
    pub available: u64,
}

impl GgufExtent {
    /// Describes an input that holds the whole file.
    #[must_use]
    pub fn whole(file_bytes: u64) -> Self {
        Self { file_bytes, available: file_bytes }
    }
}

/// What to do with a tensor whose type is not in our table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UnknownTensorTypes {
    /// Refuse the file: it is to be run, and its size in memory is needed.
    #[default]
    Refuse,
    /// List the tensor with the room it has up to the next one.
    List,
}

/// How to read a header.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GgufReadOptions {
    /// How much the header may ask for.
    pub limits: GgufLimits,
    /// What to do with a tensor whose type is not in our table.
    pub unknown_types: UnknownTensorTypes,
}

impl GgufHeader {
    /// Reads the header of the file at `path`, with the default limits, refusing unknown tensor types. Blocks.
    pub fn read(path: &Path) -> Result<Self, GgufError> {
        Self::read_with(path, &GgufReadOptions::default())
    }

    /// Reads the header of the file at `path`. Blocks.
    pub fn read_with(path: &Path, options: &GgufReadOptions) -> Result<Self, GgufError> {
        let unreadable = |source: std::io::Error| match source.kind() {
            ErrorKind::NotFound => GgufError::Missing,
            _ => GgufError::Unreadable { source },
        };
        // Asked before opening, because opening a pipe waits for its writer.
        let found = fs::metadata(path).map_err(unreadable)?;
        if found.is_dir() {
            return Err(GgufError::Directory);
        }
        if !found.is_file() {
            return Err(GgufError::NotAFile);
        }
        let file = File::open(path).map_err(unreadable)?;
        let file_bytes = file.metadata().map_err(unreadable)?.len();
        Self::read_from(file, GgufExtent::whole(file_bytes), options)
    }

    /// Reads the header from `input`, which stands at the beginning of a file of which it holds `extent.available`
    /// bytes. Where those do not reach, [`GgufError::NeedMore`] says how many would.
    pub fn read_from<R: Read + Seek>(mut input: R, extent: GgufExtent, options: &GgufReadOptions) -> Result<Self, GgufError> {
        check_magic(&mut input, extent)?;
        let mut cursor = Cursor::new(input, extent, &options.limits);
        cursor.array::<4>("the magic")?;
        let version = read_version(&mut cursor)?;
        let tensor_count = cursor.count("the number of tensors", options.limits.tensors, TensorEntry::LEAST_BYTES)?;
        // A key of one byte and a value of one byte are the least an entry can be.
        let entry_count = cursor.count("the number of metadata entries", options.limits.entries, 8 + 1 + 4 + 1)?;

        let mut metadata = BTreeMap::new();
        for index in 0..entry_count {
            let offset = cursor.position();
            let key = cursor.name(&format!("metadata key {}", index + 1))?;
            let value = read_value(&mut cursor, &key)?;
            if metadata.contains_key(&key) {
                return Err(GgufError::DuplicateKey { key: shown(&key), offset });
            }
            metadata.insert(key, value);
        }
        let alignment = alignment_of(&metadata)?;
        let entries = read_tensors(&mut cursor, tensor_count)?;
        let data_offset = cursor.position().next_multiple_of(u64::from(alignment));
        let place = layout::Place { data_offset, alignment, file_bytes: extent.file_bytes };
        let tensors = layout::place_tensors(entries, place, options.unknown_types)?;
        Ok(Self { version, metadata, tensors, data_offset, alignment, file_bytes: extent.file_bytes })
    }
}

/// Looks at the first bytes, and goes back to the beginning.
fn check_magic<R: Read + Seek>(input: &mut R, extent: GgufExtent) -> Result<(), GgufError> {
    const HEAD: u64 = 512;
    if extent.file_bytes == 0 {
        return Err(GgufError::Empty);
    }
    let magic_bytes = MAGIC.len() as u64;
    if extent.available < magic_bytes.min(extent.file_bytes) {
        return Err(GgufError::NeedMore { needed: magic_bytes.min(extent.file_bytes), available: extent.available });
    }
    let unreadable = |source| GgufError::Unreadable { source };
    let mut head = Vec::new();
    input.by_ref().take(HEAD.min(extent.available)).read_to_end(&mut head).map_err(unreadable)?;
    input.rewind().map_err(unreadable)?;
    if head.starts_with(&MAGIC) {
        return Ok(());
    }
    if !head.is_empty() && MAGIC.starts_with(&head) {
        let (offset, needed, remaining) = (0, magic_bytes, extent.file_bytes);
        return Err(GgufError::HeaderCutOff { what: "the magic".to_owned(), offset, needed, remaining });
    }
    Err(GgufError::NotGguf { found: FoundInstead::guess(&head) })
}

fn read_version<R: Read + Seek>(cursor: &mut Cursor<'_, R>) -> Result<u32, GgufError> {
    let version = cursor.u32("the version")?;
    match version {
        2 | 3 => Ok(version),
        // A small number whose bytes stand in the other order.
        _ if version != 0 && version.trailing_zeros() >= 16 => Err(GgufError::BigEndian { version: version.swap_bytes() }),
        _ => Err(GgufError::UnsupportedVersion { version }),
    }
}

fn read_value<R: Read + Seek>(cursor: &mut Cursor<'_, R>, key: &str) -> Result<GgufValue, GgufError> {
    let what = value_of(key);
    let value_type = read_value_type(cursor, &what)?;
    match value_type {
        GgufValueType::String => {
            let bytes = cursor.string_bytes(&what, cursor.limits.string_bytes)?;
            // A value is only shown or handed on, so a stray byte in a description must not refuse a model.
            Ok(GgufValue::String(String::from_utf8_lossy(&bytes).into_owned()))
        }
        GgufValueType::Array => {
            let mut budget = cursor.limits.array_elements;
            read_array(cursor, &what, 1, &mut budget).map(GgufValue::Array)
        }
        _ => read_scalar(cursor, &what, value_type),
    }
}

fn read_value_type<R: Read + Seek>(cursor: &mut Cursor<'_, R>, what: &str) -> Result<GgufValueType, GgufError> {
    let offset = cursor.position();
    let found = cursor.u32(what)?;
    GgufValueType::from_number(found).ok_or_else(|| GgufError::UnknownValueType { what: what.to_owned(), offset, found })
}

/// Reads a value of a type with a fixed size.
fn read_scalar<R: Read + Seek>(cursor: &mut Cursor<'_, R>, what: &str, value_type: GgufValueType) -> Result<GgufValue, GgufError> {
    let offset = cursor.position();
    Ok(match value_type {
        GgufValueType::U8 => GgufValue::U8(u8::from_le_bytes(cursor.array(what)?)),
        GgufValueType::I8 => GgufValue::I8(i8::from_le_bytes(cursor.array(what)?)),
        GgufValueType::U16 => GgufValue::U16(u16::from_le_bytes(cursor.array(what)?)),
        GgufValueType::I16 => GgufValue::I16(i16::from_le_bytes(cursor.array(what)?)),
        GgufValueType::U32 => GgufValue::U32(u32::from_le_bytes(cursor.array(what)?)),
        GgufValueType::I32 => GgufValue::I32(i32::from_le_bytes(cursor.array(what)?)),
        GgufValueType::F32 => GgufValue::F32(f32::from_le_bytes(cursor.array(what)?)),
        GgufValueType::U64 => GgufValue::U64(u64::from_le_bytes(cursor.array(what)?)),
        GgufValueType::I64 => GgufValue::I64(i64::from_le_bytes(cursor.array(what)?)),
        GgufValueType::F64 => GgufValue::F64(f64::from_le_bytes(cursor.array(what)?)),
        GgufValueType::Bool | GgufValueType::String | GgufValueType::Array => match cursor.array(what)? {
            [0] => GgufValue::Bool(false),
            [1] => GgufValue::Bool(true),
            [found] => {
                return Err(GgufError::BadBool { what: what.to_owned(), offset, found });
            }
        },
    })
}

/// Reads an array's type and length, and keeps its items only when they are few numbers.
fn read_array<R: Read + Seek>(cursor: &mut Cursor<'_, R>, what: &str, depth: u32, budget: &mut u64) -> Result<GgufArray, GgufError> {
    let limits = cursor.limits;
    check_limit(what, cursor.position(), depth.into(), "levels of arrays", limits.nesting.into())?;
    let element_type = read_value_type(cursor, what)?;
    let offset = cursor.position();
    let length = cursor.u64(what)?;
    cursor.check_claim(what, offset, length, element_type.least_bytes())?;
    let counted = limits.array_elements.saturating_sub(*budget).saturating_add(length);
    check_limit(what, offset, counted, "elements", limits.array_elements)?;
    *budget = budget.saturating_sub(length);

    let Some(element_bytes) = element_type.fixed_bytes() else {
        for _ in 0..length {
            if element_type == GgufValueType::String {
                let bytes = cursor.string_length(what, limits.string_bytes)?;
                cursor.skip(what, bytes)?;
            } else {
                read_array(cursor, what, depth + 1, budget)?;
            }
        }
        return Ok(GgufArray::skipped(element_type, length));
    };
    if length > limits.kept_numbers || depth > 1 {
        cursor.skip(what, length.saturating_mul(element_bytes))?;
        return Ok(GgufArray::skipped(element_type, length));
    }
    cursor.keep(what, length.saturating_mul(size_of::<GgufValue>() as u64))?;
    let items = (0..length).map(|_| read_scalar(cursor, what, element_type)).collect::<Result<Vec<_>, _>>()?;
    Ok(GgufArray::try_new(element_type, items).unwrap_or_else(|| GgufArray::skipped(element_type, length)))
}

fn alignment_of(metadata: &BTreeMap<String, GgufValue>) -> Result<u32, GgufError> {
    match metadata.get(ALIGNMENT_KEY) {
        None => Ok(DEFAULT_ALIGNMENT),
        Some(GgufValue::U32(found)) => match found {
            8..=0x0100_0000 if found.is_power_of_two() => Ok(*found),
            _ => Err(GgufError::BadAlignment { found: *found }),
        },
        Some(other) => Err(GgufError::WrongType { key: ALIGNMENT_KEY, expected: GgufValueType::U32, found: other.value_type() }),
    }
}

fn read_tensors<R: Read + Seek>(cursor: &mut Cursor<'_, R>, count: u64) -> Result<Vec<TensorEntry>, GgufError> {
    let mut entries: Vec<TensorEntry> = Vec::new();
    let mut names = HashSet::new();
    for index in 0..count {
        let start = cursor.position();
        let name = cursor.name(&format!("the name of tensor {}", index + 1))?;
        if !names.insert(name.clone()) {
            return Err(GgufError::DuplicateTensor { tensor: shown(&name), offset: start });
        }
        let what = format!("tensor {}", shown(&name));
        cursor.keep(&what, size_of::<GgufTensor>() as u64)?;
        let offset = cursor.position();
        let dimensions = cursor.u32(&what)?;
        check_limit(&what, offset, dimensions.into(), "dimensions", cursor.limits.dimensions.into())?;
        let shape = (0..dimensions).map(|_| cursor.u64(&what)).collect::<Result<Vec<_>, _>>()?;
        let type_number = cursor.u32(&what)?;
        let offset = cursor.u64(&what)?;
        entries.push(TensorEntry { name, shape, type_number, offset });
    }
    Ok(entries)
}
