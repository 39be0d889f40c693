//! How much a header may ask for, whatever the file's size.

/// Limits on a GGUF header; the defaults leave an order of magnitude above the largest published models.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GgufLimits {
    /// Metadata entries.
    pub entries: u64,
    /// Tensors.
    pub tensors: u64,
    /// Bytes in a metadata key or a tensor name.
    pub name_bytes: u64,
    /// Bytes in one string value; a chat template is the largest that is kept.
    pub string_bytes: u64,
    /// Elements in one array, summed over nested arrays.
    pub array_elements: u64,
    /// Arrays of at most this many numbers are kept; of longer ones only type and length.
    pub kept_numbers: u64,
    /// Arrays inside arrays.
    pub nesting: u32,
    /// Dimensions of a tensor.
    pub dimensions: u32,
    /// Bytes of all keys, names and kept values together: the bound on memory.
    pub kept_bytes: u64,
    /// Bytes from the start of the file to the end of the tensor list: the bound on time.
    pub header_bytes: u64,
}

impl Default for GgufLimits {
    fn default() -> Self {
        Self {
            entries: 65_536,
            tensors: 131_072,
            name_bytes: 65_535,
            string_bytes: 8 << 20,
            array_elements: 16 << 20,
            kept_numbers: 4096,
            nesting: 4,
            dimensions: 4,
            kept_bytes: 64 << 20,
            header_bytes: 512 << 20,
        }
    }
}
