//! The thread that writes blocks and their checkpoint.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::blocks::BLOCK_BYTES;
use super::board::Board;
use super::checksum::checksum;
use super::error::DownloadError;
use super::part::{Part, PartPaths, failed};

/// How many blocks wait to be written at most. Whoever brings more waits.
pub(super) const QUEUE: usize = 3;

/// A block that came over the network.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) index: u64,
    pub(super) data: Vec<u8>,
}

/// Writes blocks as they come, until nobody brings any more. Returns the file.
pub(super) fn write_blocks(
    mut part: Part,
    paths: &PartPaths,
    board: &Arc<Board>,
    blocks: &mut mpsc::Receiver<Block>,
) -> Result<File, DownloadError> {
    while let Some(Block { index, data }) = blocks.blocking_recv() {
        part.file.write_all_at(&data, index * BLOCK_BYTES).map_err(failed("writing", &paths.part))?;
        // After the block itself: a kill in between costs a block, the other order would cost the file.
        if let Some(log) = &mut part.log
            && let Err(error) = log.add(index, checksum(&data))
        {
            // The file itself has its room; only the next try will have to fetch more. What was torn is the end.
            tracing::warn!(path = %paths.pieces.display(), %error, "the checkpoint of a download cannot be written");
            part.log = None;
        }
        board.add(index, data);
    }
    Ok(part.file)
}
