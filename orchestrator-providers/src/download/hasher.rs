//! The thread that computes the digests of a file while it is fetched: it follows the blocks that are here from the first
//! one on, so that little is left to do when the last one comes.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY, SHA256};
use orchestrator_core::model::{FileDigest, Sha256Digest};
use tokio::sync::mpsc;

use super::blocks::{BLOCK_BYTES, block_range};
use super::board::{Board, NextBlock};
use super::checksum::checksum;

/// How much of a file is read at once.
const READ_BYTES: usize = 256 << 10;

/// What a file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Digests {
    pub(super) sha256: Sha256Digest,
    /// Git's identity of the content, where it was asked for.
    pub(super) git_blob: Option<String>,
}

impl Digests {
    /// Returns what there is instead of what was promised, where that is not the same.
    pub(super) fn contradiction(&self, promised: Option<&FileDigest>) -> Option<String> {
        let found = match promised? {
            FileDigest::Sha256(_) => self.sha256.as_str(),
            FileDigest::GitBlob(_) => self.git_blob.as_deref().unwrap_or("none"),
            _ => return Some("none of a kind that is known".to_owned()),
        };
        (promised?.as_str() != found).then(|| found.to_owned())
    }
}

/// What the hasher tells.
#[derive(Debug)]
pub(super) enum HasherEvent {
    /// A block of an earlier try is not what it was: it must be fetched again.
    Damaged(u64),
    /// All was read.
    Finished(io::Result<Digests>),
}

/// What is computed.
struct Sums {
    sha256: Context,
    git_blob: Option<Context>,
}

impl Sums {
    /// `length` is needed for Git's identity, which begins with it.
    fn new(git_blob_length: Option<u64>) -> Self {
        let git_blob = git_blob_length.map(|length| {
            let mut context = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
            context.update(format!("blob {length}\0").as_bytes());
            context
        });
        Self { sha256: Context::new(&SHA256), git_blob }
    }

    fn update(&mut self, data: &[u8]) {
        self.sha256.update(data);
        if let Some(context) = &mut self.git_blob {
            context.update(data);
        }
    }

    fn finish(self) -> io::Result<Digests> {
        let sha256 = Sha256Digest::try_new(&hexadecimal(self.sha256.finish().as_ref())).map_err(io::Error::other)?;
        let git_blob = self.git_blob.map(|context| hexadecimal(context.finish().as_ref()));
        Ok(Digests { sha256, git_blob })
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        // Writing to a string succeeds.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Returns whether Git's identity is needed to judge a file.
fn wants_git_blob(promised: Option<&FileDigest>) -> bool {
    matches!(promised, Some(FileDigest::GitBlob(_)))
}

/// Computes the digests of a file that lies on the disk, unless nobody wants them any more.
pub(super) fn digests_of(mut file: &File, promised: Option<&FileDigest>, is_over: &dyn Fn() -> bool) -> io::Result<Digests> {
    let length = file.metadata()?.len();
    let mut sums = Sums::new(wants_git_blob(promised).then_some(length));
    let mut buffer = vec![0; READ_BYTES];
    file.rewind()?;
    loop {
        if is_over() {
            return Err(io::Error::other("nobody wants the digest any more"));
        }
        match file.read(&mut buffer)? {
            0 => return sums.finish(),
            count => sums.update(&buffer[..count]),
        }
    }
}

/// Follows the blocks of a file as the board tells of them. `length` is nothing where it is not known at first.
pub(super) fn follow(
    file: &File,
    board: &Arc<Board>,
    length: Option<u64>,
    promised: Option<&FileDigest>,
    events: &mpsc::UnboundedSender<HasherEvent>,
) {
    let finished = match (length, wants_git_blob(promised)) {
        // Git's identity begins with the length, so there is nothing to be computed before that is known.
        (None, true) => wait_for_all(board).then(|| digests_of(file, promised, &|| board.is_closed())),
        (length, wants) => follow_blocks(file, board, length, Sums::new(length.filter(|_| wants)), events).transpose(),
    };
    if let Some(finished) = finished {
        // Whoever asked may be gone.
        let _ = events.send(HasherEvent::Finished(finished));
    }
}

fn wait_for_all(board: &Board) -> bool {
    let mut index = 0;
    loop {
        match board.wait_for(index) {
            NextBlock::Kept(_) | NextBlock::OnDisk { .. } => index += 1,
            NextBlock::End => return true,
            NextBlock::Closed => return false,
        }
    }
}

fn follow_blocks(
    file: &File,
    board: &Arc<Board>,
    length: Option<u64>,
    mut sums: Sums,
    events: &mpsc::UnboundedSender<HasherEvent>,
) -> io::Result<Option<Digests>> {
    let mut buffer = vec![0; usize::try_from(BLOCK_BYTES).unwrap_or(READ_BYTES)];
    let mut index = 0;
    loop {
        match board.wait_for(index) {
            NextBlock::Kept(data) => sums.update(&data),
            NextBlock::OnDisk { checksum: expected } => {
                let data = read_block(file, index, length, &mut buffer)?;
                if expected.is_some_and(|expected| expected != checksum(data)) {
                    board.remove(index);
                    let _ = events.send(HasherEvent::Damaged(index));
                    continue;
                }
                sums.update(data);
            }
            NextBlock::End => return sums.finish().map(Some),
            NextBlock::Closed => return Ok(None),
        }
        index += 1;
    }
}

/// Reads a block back. The last one may be short.
fn read_block<'a>(file: &File, index: u64, length: Option<u64>, buffer: &'a mut [u8]) -> io::Result<&'a [u8]> {
    let range = block_range(index, length.unwrap_or(u64::MAX));
    let wanted = usize::try_from(range.len()).unwrap_or(buffer.len()).min(buffer.len());
    let mut filled = 0;
    while filled < wanted {
        match file.read_at(&mut buffer[filled..wanted], range.start + filled as u64)? {
            0 => break,
            count => filled += count,
        }
    }
    Ok(&buffer[..filled])
}

#[cfg(test)]
mod tests;
