//! The checkpoint of a download: a log that says of which file blocks are here, and which. It lies beside the part.
//!
//! ```text
//! {"version":1,…}\n        whose blocks these are: length, tag, digest, address
//! index checksum check     20 bytes a block, appended after the block was written
//! ```
//!
//! A torn end is cut off. A block that was not written before a power loss is found by its checksum, so nothing here is
//! ever forced to the disk.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _, Write as _};

use serde::{Deserialize, Serialize};

use super::blocks::{BLOCK_BYTES, LONGEST_FILE, block_count};

const VERSION: u32 = 1;
/// The longest header that is read, in bytes.
const LONGEST_HEADER: usize = 16 << 10;
/// The length of a record, in bytes.
const RECORD: usize = 20;
/// How many records may be there for each block: a damaged block has one more.
const MOST_RECORDS: u64 = 8;

/// Whose blocks they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Identity {
    version: u32,
    block_bytes: u64,
    /// The address, as it may be shown.
    pub(super) url: String,
    pub(super) size_bytes: u64,
    pub(super) etag: Option<String>,
    pub(super) digest: Option<String>,
}

impl Identity {
    pub(super) fn new(url: String, size_bytes: u64, etag: Option<String>, digest: Option<String>) -> Self {
        Self { version: VERSION, block_bytes: BLOCK_BYTES, url, size_bytes, etag, digest }
    }

    /// Returns whether blocks of `other` are blocks of this file. A digest settles it, whatever address or tag a mirror has;
    /// without one the address and the tag must be the same, and there must be a tag.
    pub(super) fn is_same_file(&self, other: &Self) -> bool {
        let same_shape = self.version == other.version && self.block_bytes == other.block_bytes && self.size_bytes == other.size_bytes;
        let same_content = match (&self.digest, &other.digest) {
            (Some(one), Some(two)) => one == two,
            (None, None) => self.etag.is_some() && self.etag == other.etag && self.url == other.url,
            (Some(_), None) | (None, Some(_)) => false,
        };
        same_shape && same_content
    }
}

/// What a checkpoint says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Checkpoint {
    pub(super) identity: Identity,
    /// The blocks that were written, with their checksums.
    pub(super) blocks: BTreeMap<u64, u64>,
    /// How many bytes of the log are good. What follows is torn.
    good_bytes: u64,
}

impl Checkpoint {
    /// Reads a log. Nothing, for one that does not even say whose blocks it lists, or is of another version.
    pub(super) fn read(file: &mut File) -> io::Result<Option<Self>> {
        let mut bytes = Vec::new();
        // The header says how many records there can be; nothing sensible is longer than this.
        file.take(1 << 30).read_to_end(&mut bytes)?;
        Ok(Self::parse(&bytes))
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let end = bytes.iter().take(LONGEST_HEADER).position(|byte| *byte == b'\n')?;
        let identity: Identity = serde_json::from_slice(&bytes[..end]).ok()?;
        if identity.version != VERSION || identity.block_bytes != BLOCK_BYTES || identity.size_bytes > LONGEST_FILE {
            return None;
        }
        let count = block_count(identity.size_bytes);
        let most = usize::try_from(count.saturating_mul(MOST_RECORDS)).unwrap_or(usize::MAX);
        let (records, _) = bytes[end + 1..].as_chunks::<RECORD>();
        let mut blocks = BTreeMap::new();
        let mut good_bytes = end as u64 + 1;
        for record in records.iter().take(most) {
            let Some((index, checksum)) = decode(record).filter(|(index, _)| *index < count) else { break };
            blocks.insert(index, checksum);
            good_bytes += RECORD as u64;
        }
        Some(Self { identity, blocks, good_bytes })
    }
}

/// Appends to a log.
#[derive(Debug)]
pub(super) struct CheckpointLog {
    file: File,
}

impl CheckpointLog {
    /// Begins a log anew.
    pub(super) fn begin(mut file: File, identity: &Identity) -> io::Result<Self> {
        let mut header = serde_json::to_vec(identity)?;
        header.push(b'\n');
        file.set_len(0)?;
        io::Seek::rewind(&mut file)?;
        file.write_all(&header)?;
        Ok(Self { file })
    }

    /// Goes on with a log, after its good part.
    pub(super) fn resume(mut file: File, checkpoint: &Checkpoint) -> io::Result<Self> {
        file.set_len(checkpoint.good_bytes)?;
        io::Seek::seek(&mut file, io::SeekFrom::Start(checkpoint.good_bytes))?;
        Ok(Self { file })
    }

    /// Goes on at the end of a log, whatever is in it.
    #[cfg(test)]
    pub(super) fn after_all(file: File) -> Self {
        Self { file }
    }

    /// Says that a block was written.
    pub(super) fn add(&mut self, index: u64, checksum: u64) -> io::Result<()> {
        self.file.write_all(&encode(index, checksum))
    }
}

fn encode(index: u64, checksum: u64) -> [u8; RECORD] {
    let mut record = [0; RECORD];
    record[..8].copy_from_slice(&index.to_le_bytes());
    record[8..16].copy_from_slice(&checksum.to_le_bytes());
    let check = check(&record[..16]);
    record[16..].copy_from_slice(&check);
    record
}

fn decode(record: &[u8; RECORD]) -> Option<(u64, u64)> {
    let (words, check_bytes) = record.as_chunks::<8>();
    let [index, checksum] = words else { return None };
    (check(&record[..16]) == check_bytes).then(|| (u64::from_le_bytes(*index), u64::from_le_bytes(*checksum)))
}

/// Four bytes that show whether a record is whole.
fn check(bytes: &[u8]) -> [u8; 4] {
    let [a, b, c, d, ..] = super::checksum::checksum(bytes).to_le_bytes();
    [a, b, c, d]
}

#[cfg(test)]
mod tests;
