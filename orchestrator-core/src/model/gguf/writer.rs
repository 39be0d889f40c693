//! Writing a GGUF file: the header from a description, then the tensors' bytes as they come.

use std::io::{self, Write};

use super::{ALIGNMENT_KEY, DEFAULT_ALIGNMENT, GgufTensorType, GgufValue, GgufValueType, MAGIC};

/// Collects metadata and tensors, and writes the header (version 3, little-endian).
///
/// The writer does not judge: it can write a header that the reader refuses, which is what tests need.
#[derive(Debug, Clone)]
pub struct GgufWriter {
    version: u32,
    alignment: u32,
    entries: Vec<(String, GgufValue)>,
    tensors: Vec<PlannedTensor>,
    data_bytes: u64,
}

#[derive(Debug, Clone)]
struct PlannedTensor {
    name: String,
    tensor_type: GgufTensorType,
    shape: Vec<u64>,
    offset: u64,
    bytes: u64,
}

impl Default for GgufWriter {
    fn default() -> Self {
        Self { version: 3, alignment: DEFAULT_ALIGNMENT, entries: Vec::new(), tensors: Vec::new(), data_bytes: 0 }
    }
}

impl GgufWriter {
    /// Starts a file for the named architecture.
    #[must_use]
    pub fn new(architecture: &str) -> Self {
        Self::default().with("general.architecture", architecture)
    }

    /// Sets the version of the format.
    #[must_use]
    pub fn version(mut self, version: u32) -> Self {
        self.version = version;
        self
    }

    /// Sets the alignment, a power of two in bytes, before any tensor is added; writes its metadata key as well.
    #[must_use]
    pub fn alignment(mut self, alignment: u32) -> Self {
        self.alignment = alignment.max(1);
        self.with(ALIGNMENT_KEY, alignment)
    }

    /// Adds a metadata entry, chaining.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<GgufValue>) -> Self {
        self.set(key, value);
        self
    }

    /// Adds a metadata entry. Entries are written in this order; a key added twice is written twice.
    pub fn set(&mut self, key: &str, value: impl Into<GgufValue>) {
        self.entries.push((key.to_owned(), value.into()));
    }

    /// Adds a tensor; its bytes follow in the order of these calls. Dimensions are given with the contiguous one first.
    pub fn tensor(&mut self, name: &str, tensor_type: GgufTensorType, shape: &[u64]) -> io::Result<()> {
        let bytes = tensor_type.bytes_of(shape);
        let bytes = bytes.ok_or_else(|| refused(format!("tensor `{name}`: {tensor_type} cannot hold {shape:?}")))?;
        let too_large = || refused(format!("tensor `{name}`: the file would be too large"));
        let offset = self.data_bytes;
        self.data_bytes =
            offset.checked_add(bytes).and_then(|end| end.checked_next_multiple_of(self.alignment.into())).ok_or_else(too_large)?;
        self.tensors.push(PlannedTensor { name: name.to_owned(), tensor_type, shape: shape.to_vec(), offset, bytes });
        Ok(())
    }

    /// Returns the header's bytes, padded so that tensor data follows at once.
    pub fn header_bytes(&self) -> io::Result<Vec<u8>> {
        let mut header = Vec::new();
        header.extend(MAGIC);
        header.extend(self.version.to_le_bytes());
        header.extend((self.tensors.len() as u64).to_le_bytes());
        header.extend((self.entries.len() as u64).to_le_bytes());
        for (key, value) in &self.entries {
            put_string(&mut header, key);
            header.extend(value.value_type().number().to_le_bytes());
            put_value(&mut header, key, value)?;
        }
        for tensor in &self.tensors {
            put_string(&mut header, &tensor.name);
            let dimensions = u32::try_from(tensor.shape.len());
            let dimensions = dimensions.map_err(|_| refused(format!("tensor `{}`: too many dimensions", tensor.name)))?;
            header.extend(dimensions.to_le_bytes());
            tensor.shape.iter().for_each(|dimension| header.extend(dimension.to_le_bytes()));
            header.extend(tensor.tensor_type.number().to_le_bytes());
            header.extend(tensor.offset.to_le_bytes());
        }
        let alignment = usize::try_from(self.alignment).unwrap_or(1);
        header.resize(header.len().next_multiple_of(alignment), 0);
        Ok(header)
    }

    /// Returns the size of the whole file: enough to make a sparse one from [`Self::header_bytes`].
    pub fn file_bytes(&self) -> io::Result<u64> {
        Ok(self.header_bytes()?.len() as u64 + self.data_bytes)
    }

    /// Writes the header to `output`, which then takes the tensors' bytes.
    pub fn write_header<W: Write>(self, mut output: W) -> io::Result<GgufDataWriter<W>> {
        output.write_all(&self.header_bytes()?)?;
        Ok(GgufDataWriter { output, alignment: self.alignment, pending: self.tensors.into_iter() })
    }
}

/// Takes the tensors' bytes, one tensor after the other, and keeps them aligned.
#[derive(Debug)]
pub struct GgufDataWriter<W> {
    output: W,
    alignment: u32,
    pending: std::vec::IntoIter<PlannedTensor>,
}

impl<W: Write> GgufDataWriter<W> {
    /// Writes the bytes of the next tensor; refuses a wrong number of bytes.
    pub fn write_tensor(&mut self, data: &[u8]) -> io::Result<()> {
        let tensor = self.pending.next().ok_or_else(|| refused("all tensors are written".to_owned()))?;
        let given = data.len() as u64;
        if given != tensor.bytes {
            return Err(refused(format!("tensor `{}` takes {} bytes; got {given}", tensor.name, tensor.bytes)));
        }
        self.output.write_all(data)?;
        let padding = given.next_multiple_of(self.alignment.into()) - given;
        io::copy(&mut io::Read::take(io::repeat(0), padding), &mut self.output)?;
        Ok(())
    }

    /// Flushes, and returns the output; refuses when a tensor is missing.
    pub fn finish(mut self) -> io::Result<W> {
        if let Some(tensor) = self.pending.next() {
            return Err(refused(format!("tensor `{}` was not written", tensor.name)));
        }
        self.output.flush()?;
        Ok(self.output)
    }
}

fn refused(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}

fn put_string(output: &mut Vec<u8>, text: &str) {
    output.extend((text.len() as u64).to_le_bytes());
    output.extend(text.as_bytes());
}

fn put_value(output: &mut Vec<u8>, key: &str, value: &GgufValue) -> io::Result<()> {
    match value {
        GgufValue::U8(value) => output.push(*value),
        GgufValue::I8(value) => output.extend(value.to_le_bytes()),
        GgufValue::U16(value) => output.extend(value.to_le_bytes()),
        GgufValue::I16(value) => output.extend(value.to_le_bytes()),
        GgufValue::U32(value) => output.extend(value.to_le_bytes()),
        GgufValue::I32(value) => output.extend(value.to_le_bytes()),
        GgufValue::F32(value) => output.extend(value.to_le_bytes()),
        GgufValue::Bool(value) => output.push(u8::from(*value)),
        GgufValue::String(value) => put_string(output, value),
        GgufValue::U64(value) => output.extend(value.to_le_bytes()),
        GgufValue::I64(value) => output.extend(value.to_le_bytes()),
        GgufValue::F64(value) => output.extend(value.to_le_bytes()),
        GgufValue::Array(array) => {
            let element_type: GgufValueType = array.element_type();
            output.extend(element_type.number().to_le_bytes());
            output.extend(array.len().to_le_bytes());
            let items = array.items().ok_or_else(|| refused(format!("`{key}` is a list without its items")))?;
            items.iter().try_for_each(|item| put_value(output, key, item))?;
        }
    }
    Ok(())
}
