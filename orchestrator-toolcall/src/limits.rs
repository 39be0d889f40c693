//! How much input this crate is willing to look at.
//!
//! Owns the numbers; the modules that read input enforce them. They are checked before anything else.

/// Bounds on hostile or runaway input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The longest text that is looked at, in bytes.
    pub max_bytes: usize,
    /// The deepest nesting of objects and arrays that is read.
    pub max_depth: usize,
    /// The longest run of whitespace outside strings, in bytes, before a stream counts as looping.
    pub max_whitespace_run: usize,
}

impl Limits {
    /// The limits used when nothing else is said: 256 KiB, depth 64, 512 bytes of whitespace.
    pub const DEFAULT: Self = Self { max_bytes: 256 * 1024, max_depth: 64, max_whitespace_run: 512 };

    /// The number of bytes that may be stepped over while one text of `length` bytes is judged.
    ///
    /// Candidates are read at most a few times each, so the work is a constant factor of the length;
    /// running out means a defect in the reader, not a property of honest input.
    #[must_use]
    pub(crate) const fn step_budget(length: usize) -> usize {
        length.saturating_mul(12).saturating_add(4096)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}
