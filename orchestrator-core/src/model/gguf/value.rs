//! Metadata values and their types.

use std::fmt;

/// The type of a metadata value, as numbered in the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GgufValueType {
    /// Unsigned, 8 bits.
    U8,
    /// Signed, 8 bits.
    I8,
    /// Unsigned, 16 bits.
    U16,
    /// Signed, 16 bits.
    I16,
    /// Unsigned, 32 bits.
    U32,
    /// Signed, 32 bits.
    I32,
    /// Floating point, 32 bits.
    F32,
    /// One byte, 0 or 1.
    Bool,
    /// A length and that many bytes of UTF-8.
    String,
    /// An element type, a length and that many elements.
    Array,
    /// Unsigned, 64 bits.
    U64,
    /// Signed, 64 bits.
    I64,
    /// Floating point, 64 bits.
    F64,
}

impl GgufValueType {
    /// Every type, at the index that is its number in the format.
    const BY_NUMBER: [Self; 13] = [
        Self::U8,
        Self::I8,
        Self::U16,
        Self::I16,
        Self::U32,
        Self::I32,
        Self::F32,
        Self::Bool,
        Self::String,
        Self::Array,
        Self::U64,
        Self::I64,
        Self::F64,
    ];

    /// Finds the type with this number.
    #[must_use]
    pub fn from_number(number: u32) -> Option<Self> {
        Self::BY_NUMBER.get(usize::try_from(number).ok()?).copied()
    }

    /// Returns the type's number in the format.
    #[must_use]
    pub fn number(self) -> u32 {
        self as u32
    }

    /// Returns the bytes of one value, or `None` where the value itself says (strings and arrays).
    #[must_use]
    pub fn fixed_bytes(self) -> Option<u64> {
        match self {
            Self::U8 | Self::I8 | Self::Bool => Some(1),
            Self::U16 | Self::I16 => Some(2),
            Self::U32 | Self::I32 | Self::F32 => Some(4),
            Self::U64 | Self::I64 | Self::F64 => Some(8),
            Self::String | Self::Array => None,
        }
    }

    /// Returns the fewest bytes a value of this type can take in a file.
    pub(crate) fn least_bytes(self) -> u64 {
        match self {
            Self::String => 8,
            Self::Array => 12,
            _ => self.fixed_bytes().unwrap_or(1),
        }
    }
}

impl fmt::Display for GgufValueType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::U8 => "u8",
            Self::I8 => "i8",
            Self::U16 => "u16",
            Self::I16 => "i16",
            Self::U32 => "u32",
            Self::I32 => "i32",
            Self::F32 => "f32",
            Self::Bool => "bool",
            Self::String => "string",
            Self::Array => "array",
            Self::U64 => "u64",
            Self::I64 => "i64",
            Self::F64 => "f64",
        })
    }
}

/// One metadata value.
#[derive(Debug, Clone, PartialEq)]
pub enum GgufValue {
    /// Unsigned, 8 bits.
    U8(u8),
    /// Signed, 8 bits.
    I8(i8),
    /// Unsigned, 16 bits.
    U16(u16),
    /// Signed, 16 bits.
    I16(i16),
    /// Unsigned, 32 bits.
    U32(u32),
    /// Signed, 32 bits.
    I32(i32),
    /// Floating point, 32 bits.
    F32(f32),
    /// True or false.
    Bool(bool),
    /// Text.
    String(String),
    /// A list of one type.
    Array(GgufArray),
    /// Unsigned, 64 bits.
    U64(u64),
    /// Signed, 64 bits.
    I64(i64),
    /// Floating point, 64 bits.
    F64(f64),
}

impl GgufValue {
    /// Returns the value's type.
    #[must_use]
    pub fn value_type(&self) -> GgufValueType {
        match self {
            Self::U8(_) => GgufValueType::U8,
            Self::I8(_) => GgufValueType::I8,
            Self::U16(_) => GgufValueType::U16,
            Self::I16(_) => GgufValueType::I16,
            Self::U32(_) => GgufValueType::U32,
            Self::I32(_) => GgufValueType::I32,
            Self::F32(_) => GgufValueType::F32,
            Self::Bool(_) => GgufValueType::Bool,
            Self::String(_) => GgufValueType::String,
            Self::Array(_) => GgufValueType::Array,
            Self::U64(_) => GgufValueType::U64,
            Self::I64(_) => GgufValueType::I64,
            Self::F64(_) => GgufValueType::F64,
        }
    }

    /// Returns a non-negative integer of any width; `None` for anything else.
    #[must_use]
    pub fn as_u64(&self) -> Option<u64> {
        match *self {
            Self::U8(value) => Some(value.into()),
            Self::U16(value) => Some(value.into()),
            Self::U32(value) => Some(value.into()),
            Self::U64(value) => Some(value),
            Self::I8(value) => value.try_into().ok(),
            Self::I16(value) => value.try_into().ok(),
            Self::I32(value) => value.try_into().ok(),
            Self::I64(value) => value.try_into().ok(),
            Self::F32(_) | Self::F64(_) | Self::Bool(_) | Self::String(_) | Self::Array(_) => None,
        }
    }

    /// Returns a floating-point number of either width; `None` for anything else.
    #[must_use]
    pub fn as_f64(&self) -> Option<f64> {
        match *self {
            Self::F32(value) => Some(value.into()),
            Self::F64(value) => Some(value),
            _ => None,
        }
    }

    /// Returns a truth value; `None` for anything else.
    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        match *self {
            Self::Bool(value) => Some(value),
            _ => None,
        }
    }

    /// Returns text; `None` for anything else.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(value) => Some(value),
            _ => None,
        }
    }

    /// Returns a list; `None` for anything else.
    #[must_use]
    pub fn as_array(&self) -> Option<&GgufArray> {
        match self {
            Self::Array(value) => Some(value),
            _ => None,
        }
    }
}

macro_rules! value_from {
    ($($variant:ident($type:ty)),* $(,)?) => {
        $(impl From<$type> for GgufValue {
            fn from(value: $type) -> Self {
                Self::$variant(value)
            }
        })*
    };
}

value_from!(
    U8(u8),
    I8(i8),
    U16(u16),
    I16(i16),
    U32(u32),
    I32(i32),
    F32(f32),
    Bool(bool),
    String(String),
    Array(GgufArray),
    U64(u64),
    I64(i64),
    F64(f64),
);

impl From<&str> for GgufValue {
    fn from(value: &str) -> Self {
        Self::String(value.to_owned())
    }
}

/// A list in the metadata: always its type and length, its items only where they were worth keeping.
#[derive(Debug, Clone, PartialEq)]
pub struct GgufArray {
    element_type: GgufValueType,
    length: u64,
    items: Option<Vec<GgufValue>>,
}

impl GgufArray {
    /// Makes a list of `items`, or returns `None` when one of them is not of `element_type`.
    #[must_use]
    pub fn try_new(element_type: GgufValueType, items: Vec<GgufValue>) -> Option<Self> {
        let fits = items.iter().all(|item| item.value_type() == element_type);
        fits.then_some(Self { element_type, length: items.len() as u64, items: Some(items) })
    }

    /// Makes a list of texts.
    pub fn of_strings<T: Into<String>>(items: impl IntoIterator<Item = T>) -> Self {
        Self::of(GgufValueType::String, items.into_iter().map(|item| GgufValue::String(item.into())))
    }

    /// Makes a list of signed 32-bit integers.
    pub fn of_i32(items: impl IntoIterator<Item = i32>) -> Self {
        Self::of(GgufValueType::I32, items.into_iter().map(GgufValue::I32))
    }

    /// Makes a list of unsigned 32-bit integers.
    pub fn of_u32(items: impl IntoIterator<Item = u32>) -> Self {
        Self::of(GgufValueType::U32, items.into_iter().map(GgufValue::U32))
    }

    /// Makes a list that was walked over and not kept.
    pub(crate) fn skipped(element_type: GgufValueType, length: u64) -> Self {
        Self { element_type, length, items: None }
    }

    fn of(element_type: GgufValueType, items: impl Iterator<Item = GgufValue>) -> Self {
        let items: Vec<GgufValue> = items.collect();
        Self { element_type, length: items.len() as u64, items: Some(items) }
    }

    /// Returns the type of every element.
    #[must_use]
    pub fn element_type(&self) -> GgufValueType {
        self.element_type
    }

    /// Returns the number of elements, kept or not.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.length
    }

    /// Says whether the list has no elements.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Returns the elements, or `None` where the reader kept only type and length.
    #[must_use]
    pub fn items(&self) -> Option<&[GgufValue]> {
        self.items.as_deref()
    }
}
