//! A reader that knows where it is, how much the file still holds, and how much is at hand.

use std::io::{BufReader, ErrorKind, Read, Seek};

use super::error::{GgufError, shown};
use super::{GgufExtent, GgufLimits};

/// Reads little-endian values and counts what is kept in memory.
pub(super) struct Cursor<'a, R> {
    input: BufReader<R>,
    position: u64,
    extent: GgufExtent,
    pub(super) limits: &'a GgufLimits,
    kept_bytes: u64,
}

impl<'a, R: Read + Seek> Cursor<'a, R> {
    pub(super) fn new(input: R, extent: GgufExtent, limits: &'a GgufLimits) -> Self {
        Self { input: BufReader::with_capacity(64 << 10, input), position: 0, extent, limits, kept_bytes: 0 }
    }

    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Returns the bytes from here to the end of the file.
    pub(super) fn remaining(&self) -> u64 {
        self.extent.file_bytes.saturating_sub(self.position)
    }

    /// Reads exactly `N` bytes of `what`.
    pub(super) fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N], GgufError> {
        let mut bytes = [0; N];
        self.fill(&mut bytes, what)?;
        Ok(bytes)
    }

    pub(super) fn u32(&mut self, what: &str) -> Result<u32, GgufError> {
        Ok(u32::from_le_bytes(self.array(what)?))
    }

    pub(super) fn u64(&mut self, what: &str) -> Result<u64, GgufError> {
        Ok(u64::from_le_bytes(self.array(what)?))
    }

    /// Reads a count of things of which each takes at least `least_bytes`, and checks it against limit and file.
    pub(super) fn count(&mut self, what: &str, limit: u64, least_bytes: u64) -> Result<u64, GgufError> {
        let offset = self.position;
        let claimed = self.u64(what)?;
        self.check_claim(what, offset, claimed, least_bytes)?;
        check_limit(what, offset, claimed, "items", limit)?;
        Ok(claimed)
    }

    /// Reads a string's length, checked against `limit` and the file.
    pub(super) fn string_length(&mut self, what: &str, limit: u64) -> Result<u64, GgufError> {
        let offset = self.position;
        let length = self.u64(what)?;
        self.check_claim(what, offset, length, 1)?;
        check_limit(what, offset, length, "bytes", limit)?;
        Ok(length)
    }

    /// Reads and keeps a string's bytes.
    pub(super) fn string_bytes(&mut self, what: &str, limit: u64) -> Result<Vec<u8>, GgufError> {
        let length = self.string_length(what, limit)?;
        self.keep(what, length)?;
        self.check_reach(what, length)?;
        // No larger than `limit` and the file, both checked above.
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
        self.fill(&mut bytes, what)?;
        Ok(bytes)
    }

    /// Reads and keeps a key or a tensor name.
    pub(super) fn name(&mut self, what: &str) -> Result<String, GgufError> {
        let offset = self.position;
        let bytes = self.string_bytes(what, self.limits.name_bytes)?;
        let bad = |problem| GgufError::BadName { what: what.to_owned(), offset, problem };
        if bytes.is_empty() {
            return Err(bad("empty"));
        }
        String::from_utf8(bytes).map_err(|_| bad("not UTF-8 text"))
    }

    /// Goes over `length` bytes without reading them.
    pub(super) fn skip(&mut self, what: &str, length: u64) -> Result<(), GgufError> {
        self.check_reach(what, length)?;
        let distance = i64::try_from(length).unwrap_or(i64::MAX);
        self.input.seek_relative(distance).map_err(|source| GgufError::Unreadable { source })?;
        self.position += length;
        Ok(())
    }

    /// Counts `bytes` of memory against the limit.
    pub(super) fn keep(&mut self, what: &str, bytes: u64) -> Result<(), GgufError> {
        self.kept_bytes = self.kept_bytes.saturating_add(bytes);
        if self.kept_bytes <= self.limits.kept_bytes {
            return Ok(());
        }
        let what = format!("the header up to {what}");
        check_limit(&what, self.position, self.kept_bytes, "bytes to keep", self.limits.kept_bytes)
    }

    /// Refuses a claim of more than the rest of the file can hold.
    pub(super) fn check_claim(&self, what: &str, offset: u64, claimed: u64, least_bytes: u64) -> Result<(), GgufError> {
        let needed = claimed.saturating_mul(least_bytes);
        let remaining = self.remaining();
        if needed <= remaining {
            return Ok(());
        }
        Err(GgufError::ClaimsTooMuch { what: what.to_owned(), offset, claimed, needed, remaining })
    }

    /// Checks that the next `length` bytes are in the file, within the limit of the header, and at hand.
    fn check_reach(&self, what: &str, length: u64) -> Result<(), GgufError> {
        let remaining = self.remaining();
        if length > remaining {
            let (what, offset) = (what.to_owned(), self.position);
            return Err(GgufError::HeaderCutOff { what, offset, needed: length, remaining });
        }
        let end = self.position + length;
        check_limit("the header", 0, end, "bytes", self.limits.header_bytes)?;
        if end > self.extent.available {
            return Err(GgufError::NeedMore { needed: end, available: self.extent.available });
        }
        Ok(())
    }

    fn fill(&mut self, bytes: &mut [u8], what: &str) -> Result<(), GgufError> {
        let length = bytes.len() as u64;
        self.check_reach(what, length)?;
        self.input.read_exact(bytes).map_err(|source| match source.kind() {
            // The file became shorter while it was read.
            ErrorKind::UnexpectedEof => {
                GgufError::HeaderCutOff { what: what.to_owned(), offset: self.position, needed: length, remaining: 0 }
            }
            _ => GgufError::Unreadable { source },
        })?;
        self.position += length;
        Ok(())
    }
}

/// Refuses what is over its limit.
pub(super) fn check_limit(what: &str, offset: u64, found: u64, unit: &'static str, limit: u64) -> Result<(), GgufError> {
    if found <= limit {
        return Ok(());
    }
    Err(GgufError::OverLimit { what: what.to_owned(), offset, found, unit, limit })
}

/// Names a metadata value in an error.
pub(super) fn value_of(key: &str) -> String {
    format!("the value of {}", shown(key))
}
