//! Tensors and the table of their types.

use std::fmt;

/// A tensor's entry in the header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GgufTensor {
    /// The tensor's name, unique in its file.
    pub name: String,
    /// How its numbers are stored.
    pub tensor_type: GgufTensorType,
    /// Its dimensions, the contiguous one first.
    pub shape: Vec<u64>,
    /// Where its bytes begin, counted from the header's data offset.
    pub offset: u64,
    /// How many bytes it has. Of a type that is not in our table: the room up to the next tensor.
    pub bytes: u64,
}

impl GgufTensor {
    /// Returns the number of parameters in the tensor.
    #[must_use]
    pub fn parameters(&self) -> u64 {
        // The reader refused shapes whose product overflows.
        self.shape.iter().product()
    }
}

/// How a tensor's numbers are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct GgufTensorType(u32);

/// One row of the table: number, name, numbers in a block, bytes of a block.
struct TypeRow(u32, &'static str, u64, u64);

/// The types in use; the numbers missing here were withdrawn from the format or are not given out yet.
const TYPES: [TypeRow; 35] = [
    TypeRow(0, "F32", 1, 4),
    TypeRow(1, "F16", 1, 2),
    TypeRow(2, "Q4_0", 32, 18),
    TypeRow(3, "Q4_1", 32, 20),
    TypeRow(6, "Q5_0", 32, 22),
    TypeRow(7, "Q5_1", 32, 24),
    TypeRow(8, "Q8_0", 32, 34),
    TypeRow(9, "Q8_1", 32, 36),
    TypeRow(10, "Q2_K", 256, 84),
    TypeRow(11, "Q3_K", 256, 110),
    TypeRow(12, "Q4_K", 256, 144),
    TypeRow(13, "Q5_K", 256, 176),
    TypeRow(14, "Q6_K", 256, 210),
    TypeRow(15, "Q8_K", 256, 292),
    TypeRow(16, "IQ2_XXS", 256, 66),
    TypeRow(17, "IQ2_XS", 256, 74),
    TypeRow(18, "IQ3_XXS", 256, 98),
    TypeRow(19, "IQ1_S", 256, 50),
    TypeRow(20, "IQ4_NL", 32, 18),
    TypeRow(21, "IQ3_S", 256, 110),
    TypeRow(22, "IQ2_S", 256, 82),
    TypeRow(23, "IQ4_XS", 256, 136),
    TypeRow(24, "I8", 1, 1),
    TypeRow(25, "I16", 1, 2),
    TypeRow(26, "I32", 1, 4),
    TypeRow(27, "I64", 1, 8),
    TypeRow(28, "F64", 1, 8),
    TypeRow(29, "IQ1_M", 256, 56),
    TypeRow(30, "BF16", 1, 2),
    TypeRow(34, "TQ1_0", 256, 54),
    TypeRow(35, "TQ2_0", 256, 66),
    TypeRow(39, "MXFP4", 32, 17),
    TypeRow(40, "NVFP4", 64, 36),
    TypeRow(41, "Q1_0", 128, 18),
    TypeRow(42, "Q2_0", 64, 18),
];

impl GgufTensorType {
    /// 32-bit floating point.
    pub const F32: Self = Self(0);
    /// 16-bit floating point.
    pub const F16: Self = Self(1);

    /// Makes the type with this number, known to our table or not.
    #[must_use]
    pub fn from_number(number: u32) -> Self {
        Self(number)
    }

    /// Returns the type's number in the format.
    #[must_use]
    pub fn number(self) -> u32 {
        self.0
    }

    /// Returns the type's name, such as `Q4_K`, or `None` when our table does not have it.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        self.row().map(|row| row.1)
    }

    /// Returns how many numbers one block holds, or `None` for an unknown type.
    #[must_use]
    pub fn block_numbers(self) -> Option<u64> {
        self.row().map(|row| row.2)
    }

    /// Returns the bytes of a tensor of this shape, or `None` for an unknown type, a row that is not whole blocks, or
    /// a product that overflows.
    #[must_use]
    pub fn bytes_of(self, shape: &[u64]) -> Option<u64> {
        let row = self.row()?;
        let contiguous = shape.first().copied().unwrap_or(1);
        if contiguous % row.2 != 0 {
            return None;
        }
        let row_bytes = (contiguous / row.2).checked_mul(row.3)?;
        shape.iter().skip(1).try_fold(row_bytes, |bytes, dimension| bytes.checked_mul(*dimension))
    }

    fn row(self) -> Option<&'static TypeRow> {
        TYPES.iter().find(|row| row.0 == self.0)
    }
}

impl fmt::Display for GgufTensorType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => formatter.write_str(name),
            None => write!(formatter, "type {}", self.0),
        }
    }
}
